"""A site over a real journal with a few parts, and clients that are logged in with each role.

`site` has a page of its own per module; `client(role)` asks it without a network; `served` is the same site at a port, for a
browser.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.testclient import TestClient

from inspectd.config import Config, load_config
from inspectd.gate.outcome import Outcome
from inspectd.inference.bundle import load_bundle
from inspectd.part import (
    Anomaly,
    Fault,
    FieldCheck,
    Missed,
    MissedReason,
    Part,
    Pass,
    Scores,
    Uncertain,
    Verdict,
    WrongCharacter,
)
from inspectd.records.audit import AuditTrail
from inspectd.records.journal import Journal, JournalConfig, Stages
from inspectd.records.passwords import hash_password
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.web.access.accounts import Accounts
from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.app import make_app
from inspectd.serve.web.config import WebConfig
from inspectd.serve.web.line_file import LineFile
from inspectd.serve.web.site import Site
from tests.factories import GREY_OF_CLASS, make_toy_bundle, toy_image

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "correct horse battery staple"
CLASSES = tuple(GREY_OF_CLASS)
STAGES = Stages(
    acquire_us=900, queue_us=50, verdict_us=6000, preprocess_us=200, infer_us=3000, guard_us=1500, text_us=700
)
_WRONG_LOT = FieldCheck(
    "lot", "text_wrong", ("LOT 7481-83",), "given", "LOT 7481-88", -7.5, (30, 20, 6, 10), WrongCharacter(10, "3", "8")
)


def scores(predicted: str, certainty: float) -> Scores:
    """`certainty` for one class, and a little for each other class."""
    return Scores(CLASSES, tuple(certainty if name == predicted else 0.01 for name in CLASSES))


LINE = """\
name: printer-3
engine: engine
camera: {kind: replay, source: archive, rate_hz: 10, max_age_ms: 90}
gate: {wiring: pulse_to_reject, delay_ms: 120, width_ms: 20, output: {kind: simulated, record: output.jsonl}}
journal: {path: journal.sqlite}
archive: {folder: archive}
"""

VERDICTS: tuple[Verdict, ...] = (
    Pass(scores("no_fail", 0.97)),
    Pass(scores("no_fail", 0.91)),
    Fault(scores("fail_label_half_printed", 0.93)),
    Uncertain(scores("no_fail", 0.31)),
    Uncertain(scores("no_fail", 0.92), Anomaly("print", (30, 8, 12, 9), 1.7)),
    Fault(scores("no_fail", 0.95), _WRONG_LOT),
    Missed(MissedReason.LOST_FRAME),
)
"""One of each kind, in the order in which `write_parts` repeats them."""


def write_parts(journal: Journal, archive: Path, count: int) -> None:
    """The next `count` parts, with their images, as a line writes them."""
    for _ in range(count):
        number = journal.next_part_id
        journal.next_part_id += 1
        verdict = VERDICTS[(number - 1) % len(VERDICTS)]
        part = Part(number, number, time.monotonic_ns(), time.time_ns(), time.monotonic_ns() + 150_000_000)
        quality = None if isinstance(verdict, Missed) else (0.52, 1.84)
        journal.append(part, verdict, STAGES, (_WRONG_LOT,) if verdict is VERDICTS[5] else (), quality)
        passed = isinstance(verdict, Pass)
        journal.amend_outcome(number, Outcome.PASSED if passed else Outcome.REJECTED, 300)
        if not passed and not isinstance(verdict, Missed):
            path = archive / time.strftime("%Y-%m-%d") / f"{number:09d}_part.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), toy_image(verdict.scores.predicted, seed=number))
            journal.amend_image(number, str(path))
    journal.flush()


@dataclass(frozen=True)
class Plant:
    """What one module's tests share: the journal that is open for writing, as a line has it, and the site that reads it."""

    journal: Journal
    archive: Path
    site: Site

    def inspect(self, count: int) -> None:
        write_parts(self.journal, self.archive, count)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    archive = folder / "archive"
    journal = Journal.open(JournalConfig(path=folder / "journal.sqlite"))
    bundle = load_bundle(make_toy_bundle(folder / "engine-1.0.0"))
    journal.use_engine(bundle.manifest.name, bundle.hash)
    write_parts(journal, archive, 70)
    state = folder / "web"
    state.mkdir()
    audit = AuditTrail(state / "audit.sqlite")
    accounts = Accounts(state, audit, idle_s=3600, longest_s=43_200)
    for role in Role:
        accounts.users.add(role.name.lower(), role, hash_password(role.name.lower(), PASSWORD))
    (folder / "engine").symlink_to("engine-1.0.0")
    file = folder / "line.yaml"
    file.write_text(LINE)
    facts = LineFacts(
        file=file,
        name="printer-3",
        journal=folder / "journal.sqlite",
        archive=archive,
        control=None,
        engine=folder / "engine",
        config=load_config(file).model_dump(mode="json", by_alias=True),
        schema=Config.model_json_schema(),
    )
    config = WebConfig(line=facts.file, state=state, port=0)
    site = Site(config=config, line=facts, accounts=accounts, audit=audit, line_file=LineFile(facts.file))
    yield Plant(journal, archive, site)
    journal.close()


def login_fields(role: Role, form: str) -> dict[str, str]:
    """What the login form `form` sends for the user of this role."""
    found = re.search(r'name="csrf" value="(\w+)"', form)
    assert found, form
    return {"name": role.name.lower(), "password": PASSWORD, "csrf": found[1]}


@pytest.fixture(scope="module")
def client(plant: Plant) -> Iterator[Callable[[Role | None], TestClient]]:
    """A client that is logged in with this role; None: not logged in. It follows no redirects."""
    app = make_app(plant.site)
    clients: dict[Role | None, TestClient] = {}

    def of(role: Role | None) -> TestClient:
        if role not in clients:
            clients[role] = TestClient(app, "http://localhost", raise_server_exceptions=False, follow_redirects=False)
            if role is not None:
                answer = clients[role].post("/login", data=login_fields(role, clients[role].get("/login").text))
                assert answer.status_code == 303, answer.text
        return clients[role]

    yield of
    for each in clients.values():
        each.close()
    app.state.live.close()


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """The site at a free port of this computer: its address, such as http://127.0.0.1:41234."""
    server = uvicorn.Server(uvicorn.Config(make_app(site), log_level="critical", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=[[listening]], daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=5)


@pytest.fixture(scope="module")
def served(plant: Plant) -> Iterator[str]:
    """The address of the site at a real port."""
    with serving(plant.site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Not for the session: while it is there, no other test of this process can run an event loop."""
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, served: str) -> Iterator[OpenPage]:
    """A page of the site, opened by a user with a role; further options are those of a browser context, such as `color_scheme`.

    The test fails if the page has an error in its scripts, or asks for something that does not exist. A test that wants such an
    error takes it out of `open_page.wrong`.
    """
    wrong: list[str] = []
    contexts = []

    def opened(path: str, role: Role | None = Role.OPERATOR, **options: object) -> Page:
        context = browser.new_context(base_url=served, **{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        if role is not None:
            context.request.post("/login", form=login_fields(role, context.request.get("/login").text()))
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(path)
        return page

    opened.wrong = wrong  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
