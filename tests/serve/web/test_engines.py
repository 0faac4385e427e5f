"""Engines: what is shown, and what an engineer may do with them, by the real commands."""

import asyncio
import dataclasses
import re
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from starlette.testclient import TestClient

from inspectd.control.config import ControlConfig
from inspectd.control.protocol import GOES_ON
from inspectd.control.server import ControlServer
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reviews import Reviews
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.app import make_app
from inspectd.serve.web.command import CommandError, inspectd
from inspectd.serve.web.config import WebConfig
from inspectd.serve.web.engines.bundles import find_bundles
from inspectd.serve.web.engines.card import card, picture
from inspectd.serve.web.engines.history import EngineHistory
from inspectd.serve.web.jobs import BusyError, Job, Jobs
from inspectd.serve.web.pages.engines import LEARN
from tests.commands.learn.test_learn import LABELS, decide
from tests.factories import edit_manifest, make_toy_bundle
from tests.learning.product import make_engine
from tests.serve.web.conftest import LINE, Plant, login_fields, write_parts

T = TypeVar("T")
_TEXT = {"fields": {"lot": {"expect": {"from": "given"}}, "time": {"expect": {"from": "pattern"}}}}


class Line:
    """The line's end of the control socket: it loads each engine, and takes each text but one."""

    def __init__(self, socket: Path) -> None:
        self.told: list[dict[str, str | None]] = []
        self.refusals: list[str] = []
        """What it says to the next requests for a reload."""
        self._ending = threading.Event()
        self._server = ControlServer(ControlConfig(socket=socket))
        self._server.expect = self._expect
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _expect(self, request, by):
        if request.fields.get("lot") == "wrong":
            raise ValueError("lot: 'wrong' does not match the pattern")
        self.told.append(request.fields)
        return {}

    def _run(self) -> None:
        with self._server:
            while not self._ending.wait(0.01):
                if (pending := self._server.take()) is None:
                    continue
                if self.refusals and pending.request.verb == "reload":
                    pending.refuse(self.refusals.pop(0))
                else:
                    pending.answer(engine="toy", engine_version="2.0.0", after_restart=[])

    def close(self) -> None:
        self._ending.set()
        self._thread.join()


@pytest.fixture(scope="module")
def line(plant: Plant) -> Iterator[Line]:
    line = Line(plant.archive.parent / "control.sock")
    yield line
    line.close()


@pytest.fixture(scope="module")
def client(plant: Plant, line: Line) -> Iterator[Callable[[Role], TestClient]]:
    """As that of the other tests, for a line that answers and verifies text, and jobs go on between the requests."""
    make_toy_bundle(plant.archive.parent / "toy-2.0.0", version="2.0.0", threshold=0.5)
    facts: LineFacts = dataclasses.replace(
        plant.site.line,
        control=plant.archive.parent / "control.sock",
        config={**plant.site.line.config, "text": _TEXT},
    )
    clients = {}
    with TestClient(
        make_app(dataclasses.replace(plant.site, line=facts)), "http://localhost", follow_redirects=False
    ) as asking:

        def of(role: Role) -> TestClient:
            if role not in clients:
                clients[role] = dict(asking.cookies)
                asking.cookies.clear()
                asking.post("/login", data=login_fields(role, asking.get("/login").text))
                clients[role] = dict(asking.cookies)
            asking.cookies.clear()
            asking.cookies.update(clients[role])
            return asking

        yield of


def _post(client: TestClient, path: str, **fields: str):
    token = client.get("/engines").text.partition('name="csrf" content="')[2].partition('"')[0]
    return client.post(path, data={**fields, "csrf": token})


def _finished(client: TestClient) -> str:
    """The panel of the jobs, once nothing runs any more."""
    end_s = time.monotonic() + 120
    while 'hx-trigger="every 1s"' in (panel := client.get("/engines/jobs").text):
        assert time.monotonic() < end_s, panel
        time.sleep(0.05)
    return panel


def _id(plant: Plant, folder: str) -> str:
    link = plant.archive.parent / folder
    found = find_bundles(link, plant.site.config.state / "engines", {}).active
    assert found is not None
    return found.id


@pytest.fixture
def learner(plant: Plant, line: Line, tmp_path: Path) -> Iterator[TestClient]:
    """An engineer of a line whose engine has not seen the new lot, after 120 reviews."""
    make_engine(tmp_path / "tiny-1.0.0")
    (tmp_path / "tiny").symlink_to("tiny-1.0.0")
    draw = np.random.default_rng(5)
    (tmp_path / "web").mkdir()
    reviews = Reviews(tmp_path / "web" / "reviews")
    for part in range(120):
        decide(reviews, tmp_path, part, LABELS[draw.integers(len(LABELS))], draw)
    reviews.close()
    file = tmp_path / "line.yaml"
    file.write_text(LINE.replace("engine: engine", "engine: tiny"))
    facts = dataclasses.replace(
        plant.site.line, file=file, engine=tmp_path / "tiny", control=plant.archive.parent / "control.sock"
    )
    config = WebConfig(line=file, state=tmp_path / "web", port=0)
    app = make_app(dataclasses.replace(plant.site, config=config, line=facts, jobs=Jobs()))
    with TestClient(app, "http://localhost", follow_redirects=False) as asking:
        asking.post("/login", data=login_fields(Role.ENGINEER, asking.get("/login").text))
        yield asking


def test_from_reviews_to_a_better_engine_that_is_active_and_back(learner, plant, tmp_path):
    link = tmp_path / "tiny"
    assert _post(learner, "/engines/learn").headers["location"] == "/engines"
    panel = _finished(learner)
    assert "It is proven not worse than the active one" in panel
    assert link.resolve().name == "tiny-1.0.0", "nothing is activated by learning"
    found = re.search(r'href="(/engines/\w+)"', panel)
    assert found
    assert "learned here" in learner.get("/engines").text

    assert _post(learner, f"{found[1]}/compare").status_code == 303
    assert "On 120 reviewed photos" in _finished(learner)

    assert _post(learner, f"{found[1]}/activate").status_code == 303
    assert "The line judges with toy 2.0.0" in _finished(learner), "what the line of this test says"
    assert link.resolve() == tmp_path / "web" / "engines" / "tiny-1.1.0"
    assert "(active)" in learner.get(found[1]).text

    assert _post(learner, "/engines/rollback").status_code == 303
    assert "tiny 1.0.0 is active" in _finished(learner)
    assert link.resolve().name == "tiny-1.0.0"
    actions = [(entry.action, entry.detail.get("engine")) for entry in plant.site.audit.entries(limit=3)]
    assert actions == [("roll_back_engine", "tiny 1.0.0"), ("activate_engine", "tiny 1.1.0"), ("learn", None)]
    assert "engineer activated tiny 1.1.0" in learner.get("/engines/history").text

    make_toy_bundle(tmp_path / "toy-1.0.5", version="1.0.5")
    link.unlink()
    link.symlink_to("toy-1.0.5")
    assert "is proven not worse than version 1.0.0" in learner.get(found[1]).text
    answer = _post(learner, f"{found[1]}/activate")
    assert (answer.status_code, "toy 1.0.5 is active. Activate that version first" in answer.text) == (409, True)
    assert link.resolve().name == "toy-1.0.5"


def test_a_learned_engine_that_was_altered_on_the_disk_is_not_activated(learner, plant, tmp_path):
    _post(learner, "/engines/learn")
    found = re.search(r'href="(/engines/\w+)"', _finished(learner))
    folder = tmp_path / "web" / "engines" / "tiny-1.1.0"
    golden = next((folder / "golden").iterdir())
    before = golden.read_bytes()
    golden.write_bytes(before[:-1] + b"x")
    _post(learner, f"{found[1]}/activate")
    assert "is not the file that engine.yaml lists" in _finished(learner)
    golden.write_bytes(before)
    edit_manifest(
        folder, lambda values: values["threshold"].update(value=0.01)
    )  # its hashes and its seal are right again
    assert _post(learner, f"{found[1]}/activate").status_code == 404, "it is not the bundle that the page has shown"
    assert (tmp_path / "tiny").resolve().name == "tiny-1.0.0"


def test_a_line_that_loads_an_engine_already_is_asked_again(client, plant, line, monkeypatch):
    """Otherwise it could go on with another engine than the active one, and nothing would ask it any more."""
    monkeypatch.setattr("inspectd.serve.web.engines.work._AGAIN_S", 0.01)
    running = "a reload is running; ask again when it has ended"
    for refusals, left, said in [
        ([running] * 3, [], "The line judges with toy 2.0.0"),
        ([f"{GOES_ON}too slow", running], [running], f"{GOES_ON}too slow"),
    ]:
        line.refusals = refusals
        _post(client(Role.ENGINEER), f"/engines/{_id(plant, 'toy-2.0.0')}/activate")
        assert said in _finished(client(Role.ENGINEER))
        assert line.refusals == left
        line.refusals = []
        plant.site.line.engine.unlink()
        plant.site.line.engine.symlink_to("engine-1.0.0")


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """In a thread: the browser of other tests has a loop in this one."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(asyncio.run, coroutine).result()


def test_a_bundle_that_is_damaged_is_not_activated(client, plant):
    folder = plant.archive.parent / "toy-3.0.0"
    shutil.rmtree(folder, ignore_errors=True)
    make_toy_bundle(folder, version="3.0.0")
    (folder / "model.onnx").write_bytes(b"other")
    engineer = client(Role.ENGINEER)
    _post(engineer, f"/engines/{_id(plant, 'toy-3.0.0')}/activate")
    assert "is not the file that engine.yaml lists" in _finished(engineer)
    assert plant.site.line.engine.resolve().name == "engine-1.0.0"


@pytest.mark.parametrize(
    "path", ["/engines/{}/activate", "/engines/{}/compare", "/engines/rollback", "/engines/learn", "/setup/expect"]
)
def test_an_operator_changes_no_engine_and_no_text(client, plant, line, path):
    operator = client(Role.OPERATOR)
    before = len(plant.site.audit.entries()), list(line.told)
    assert _post(operator, path.format(_id(plant, "toy-2.0.0"))).status_code == 403
    assert (len(plant.site.audit.entries()), line.told) == before


def test_a_bundle_is_named_by_its_hash_only(client, plant):
    engineer = client(Role.ENGINEER)
    for path in ("toy-2.0.0", "..%2ftoy-2.0.0", "%2fetc", _id(plant, "toy-2.0.0")[:15]):
        assert _post(engineer, f"/engines/{path}/activate").status_code == 404
    for name in ("..%2fengine.yaml", "engine.yaml", "golden%2fno_fail.png", "none.png"):
        assert engineer.get(f"/engines/{_id(plant, 'engine')}/pictures/{name}").status_code == 404


def test_a_line_that_wants_signatures_gets_no_unsigned_engine(client, plant):
    site = plant.site
    wants = {**site.line.config, "inference": {"signed_by": "/etc/key.pem"}}
    app = make_app(dataclasses.replace(site, line=dataclasses.replace(site.line, config=wants)))
    with TestClient(
        app, "http://localhost", follow_redirects=False, cookies=dict(client(Role.ENGINEER).cookies)
    ) as asking:
        answer = _post(asking, f"/engines/{_id(plant, 'toy-2.0.0')}/activate")
    assert answer.status_code == 409
    assert "has no signature" in answer.text
    assert site.jobs.running is None


def test_a_page_that_may_not_change_the_engine_says_so(client, plant, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != plant.site.line.engine.parent)
    engineer = client(Role.ENGINEER)
    assert "This page may not change the engine" in engineer.get(f"/engines/{_id(plant, 'toy-2.0.0')}").text
    answer = _post(engineer, f"/engines/{_id(plant, 'toy-2.0.0')}/activate")
    assert (answer.status_code, "This page may not change the engine" in answer.text) == (409, True)


def test_names_and_cards_with_html_do_no_harm(client, plant):
    folder = plant.archive.parent / "toy-html"
    make_toy_bundle(folder)
    manifest = folder / "engine.yaml"
    manifest.write_text(manifest.read_text().replace("name: toy", "name: <script>alert(1)</script>"))
    (folder / "card.md").write_text("# <img src=x onerror=alert(1)>\n[a](javascript:alert(1)) ![b](//evil/b.png)\n")
    engineer = client(Role.ENGINEER)
    for text in (engineer.get("/engines").text, engineer.get(f"/engines/{_id(plant, 'toy-html')}").text):
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert 'href="javascript' not in text
        assert "//evil" not in text.replace("](//evil", "")
    shutil.rmtree(folder)


def test_what_was_learned_is_shown_with_its_numbers(client, plant):
    errors = {"errors": 3, "n": 80, "interval": [0.008, 0.106]}
    none = {"errors": 0, "n": 80, "interval": [0.0, 0.045]}
    found = {
        "accepted": True,
        "reasons": ["<i>a reason</i>"],
        "before": {"false_accepts": errors, "false_rejects": none},
        "after": {"false_accepts": none, "false_rejects": none},
        "photos": {"fit": {"no_fail": 30}, "prove": {"no_fail": 60}},
        "wanted": ["12 more good ones"],
        "needs_training": False,
        "id": "0123456789abcdef",
    }
    plant.site.jobs.last[LEARN] = Job(LEARN, "anna", ended_s=time.time(), result=found)
    panel = " ".join(client(Role.VIEWER).get("/engines/jobs").text.split())
    assert '3 of 80 <span class="secondary">(0.8 to 10.6 %)' in panel
    assert "Fitted to 30 reviewed photos, proven with 60 others" in panel
    assert "&lt;i&gt;a reason" in panel
    assert 'href="/engines/0123456789abcdef"' in panel
    plant.site.jobs.last[LEARN] = Job(LEARN, "anna", ended_s=time.time(), problem="the reviews <b>can't</b> be used")
    assert "the reviews &lt;b&gt;can&#39;t&lt;/b&gt; be used" in client(Role.VIEWER).get("/engines/jobs").text


def test_a_card_shows_pictures_of_its_own_bundle_only(tmp_path):
    (tmp_path / "pod.png").touch()
    (tmp_path / "secret.png").symlink_to("/etc/passwd")
    (tmp_path / "card.md").write_text("![a](pod.png) ![b](../b.png)\n\n| a |\n|---|\n| 1 |\n")
    html = card(tmp_path, "/engines/x/pictures")
    assert html.count("<img") == 1
    assert 'src="/engines/x/pictures/pod.png"' in html
    assert "<td>1</td>" in html
    assert picture(tmp_path, "pod.png").name == "pod.png"
    for name in ("secret.png", "../b.png", "card.md"):
        with pytest.raises(Exception, match="no picture"):
            picture(tmp_path, name)


def test_the_line_is_told_its_texts(client, plant, line):
    engineer = client(Role.ENGINEER)
    assert "The line has taken it" in _post(engineer, "/setup/expect", **{"value lot": "7481-<b>83</b>"}).text
    assert line.told[-1] == {"lot": "7481-<b>83</b>"}
    assert "no value is right" in _post(engineer, "/setup/expect", **{"no-value lot": "on"}).text
    assert line.told[-1] == {"lot": None}
    refused = _post(engineer, "/setup/expect", **{"value lot": "wrong"})
    assert (refused.status_code, "does not match the pattern" in refused.text) == (409, True)
    assert _post(engineer, "/setup/expect", **{"value time": "12:00", "value x": "1"}).status_code == 400
    assert [entry.action for entry in plant.site.audit.entries(limit=3)] == ["expect"] * 3


def test_the_history_says_which_engine_has_judged_which_parts(tmp_path):
    journal = Journal.open(JournalConfig(path=tmp_path / "journal.sqlite"))
    history = EngineHistory(tmp_path / "journal.sqlite")
    assert history.reigns() == []
    for name, parts in (("a", 3), ("b", 4), ("a", 5)):
        journal.use_engine(name, name * 64)
        write_parts(journal, tmp_path / "archive", parts)
        history.reigns()
    found = [(reign.name, reign.first_part, reign.last_part) for reign in history.reigns()]
    assert found == [("a", 8, 12), ("b", 4, 7), ("a", 1, 3)]
    assert EngineHistory(tmp_path / "journal.sqlite").reigns() == history.reigns()
    journal.close()


def test_a_command_that_takes_too_long_is_ended():
    with pytest.raises(CommandError, match="has not ended within"):
        _run(inspectd("demo", "--help", within_s=0.01))


def test_one_job_runs_at_a_time_and_a_failure_is_said():
    async def run() -> Jobs:
        jobs, may_end = Jobs(), asyncio.Event()

        async def work(job):
            job.say("half")
            await may_end.wait()
            raise CommandError("it does not work")

        job = jobs.start("try", "anna", work)
        await asyncio.sleep(0)
        assert job.progress == "half"
        with pytest.raises(BusyError, match="anna has started to try"):
            jobs.start("try again", "otto", work)
        may_end.set()
        while jobs.running:
            await asyncio.sleep(0)
        return jobs

    job = _run(run()).last["try"]
    assert (job.problem, job.result, job.ended_s is not None) == ("it does not work", None, True)
