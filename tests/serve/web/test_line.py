"""The Line page without a browser: what it says, its images, and the acknowledgement."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from inspectd.control.stops import STOPS
from inspectd.gate.outcome import GateState, Outcome, Stop
from inspectd.part import TEXT_REASONS, MissedReason, Part
from inspectd.records.audit import AuditTrail
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reading import open_for_reading
from inspectd.serve.line_now import LineNow
from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.app import make_app
from inspectd.serve.web.live.figures import Look, Session
from inspectd.serve.web.live.shown import Rejects, line_state
from inspectd.serve.web.live.tally import MINUTE_NS
from inspectd.serve.web.wording import CAUSES, GATE, GATE_STATES, STOP_NAMES, said
from tests.serve.lines import running_line
from tests.serve.web.conftest import STAGES, VERDICTS, login_fields


def _image_of(plant, part):
    with closing(sqlite3.connect(plant.site.line.journal)) as connection:
        return connection.execute("SELECT image, t_utc_ns FROM parts WHERE id = ?", (part,)).fetchone()


def _rejected_part(plant):
    with closing(sqlite3.connect(plant.site.line.journal)) as connection:
        return connection.execute("SELECT max(id) FROM parts WHERE image IS NOT NULL").fetchone()[0]


def test_the_last_rejects_are_said_in_words(client, plant):
    page = client(Role.VIEWER).get("/").text
    assert "Text wrong" in page
    assert '<u class="wrong">8</u>' in page
    assert "No image came" in page
    assert "rejected on time" in page


def test_it_says_how_many_rejects_wait_for_review(client):
    assert '<span id="waiting">(40)</span>' in client(Role.VIEWER).get("/").text  # of 70 labels; 10 were not inspected


def test_a_line_that_does_not_answer_is_not_said_to_run(plant):
    with closing(open_for_reading(plant.site.line.journal)) as connection:
        figures = Look(connection, plant.site.config.shift_begins).figures()
    figures = replace(figures, session=Session(True, figures.t_utc_ns, False, None, None))
    line = replace(plant.site.line, control=plant.archive / "control.sock")
    answer = LineNow({"run_permit": True, "stops": [], "gate": "running"}, asked_s=time.monotonic())
    assert line_state(figures, answer, line).kind == "runs"
    assert line_state(figures, replace(answer, asked_s=time.monotonic() - 60), line).kind == "unknown"
    assert line_state(figures, LineNow(None, "no answer", asked_s=time.monotonic()), line).kind == "unknown"
    assert (
        line_state(figures, LineNow(), plant.site.line).kind == "runs"
    )  # nobody can be asked: the journal knows of no stop


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ((0.52, 1.8), set()),
        ((0.54, 1.75), set()),  # less than half of the usual range, or than 5 %, away
        ((0.3, 1.8), {"darker than usual"}),
        ((0.7, 1.1), {"brighter than usual", "less sharp than usual"}),
        ((0.52, 2.4), {"sharper than usual"}),
        ((None, None), set()),
    ],
)
def test_images_that_look_unlike_the_usual_ones_are_said_in_words(plant, tmp_path, now, said):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.use_engine("toy", "0" * 64)
    now_ns = time.time_ns()
    for number in range(
        1, 32
    ):  # one label per minute; the last two are news, also if a minute ends before the page looks
        t_utc_ns = now_ns - (31 - number) * MINUTE_NS
        usual = (0.51 + 0.02 * (number % 2), 1.8)
        part = Part(number, number, number, t_utc_ns, number)
        journal.append(part, VERDICTS[0], STAGES, (), now if number >= 30 else usual)
    journal.close()
    app = make_app(replace(plant.site, line=replace(plant.site.line, journal=path)))
    with TestClient(app, "http://localhost") as client:
        client.post("/login", data=login_fields(Role.VIEWER, client.get("/login").text))
        page = client.get("/").text
    words = {"darker than usual", "brighter than usual", "less sharp than usual", "sharper than usual"}
    assert {
        each for each in words if f"{each} (0.51\u20130.53)" in page or f"{each} (1.800\u20131.800)" in page
    } == said
    assert "0.51\u20130.53" in page
    value = page.partition("Image brightness")[2].partition("</dd>")[0]
    assert ("✕" in value) == bool(said & {"darker than usual", "brighter than usual"})
    assert ("\u2013" if now[0] is None else f"{now[0]:.2f}") in value


def test_a_stop_says_all_that_keeps_the_belt(plant):
    with closing(open_for_reading(plant.site.line.journal)) as connection:
        figures = Look(connection, plant.site.config.shift_begins).figures()
    stops = ("reject_not_driven", "reject_unconfirmed")
    outage = ("output", figures.t_utc_ns, "no answer")
    figures = replace(figures, session=Session(True, figures.t_utc_ns, False, (stops, figures.t_utc_ns), outage))
    state = line_state(figures, LineNow(), plant.site.line)
    assert (state.words, state.stops, state.can_acknowledge) == ("Belt stopped", stops, True)
    for sentence in (*(STOPS[stop] for stop in stops), "The reject output can't be driven: no answer."):
        assert sentence in state.sentence
    answer = LineNow({"run_permit": False, "stops": list(stops), "gate": "stopped"}, asked_s=time.monotonic())
    figures = replace(figures, session=Session(True, figures.t_utc_ns, False, None, None))
    untimed = line_state(figures, answer, plant.site.line)
    assert untimed.stops == stops, "the journal may not have them yet"
    assert state.was_shown_as(untimed.stop)
    old = replace(figures, session=Session(True, figures.t_utc_ns, False, (stops, figures.t_utc_ns - 60 * 10**9), None))
    assert not line_state(old, answer, plant.site.line).was_shown_as(untimed.stop), (
        "a page left open showed another stop"
    )
    assert state.was_shown_as(state.stop)
    assert not state.was_shown_as(replace(state, stops=stops[:1]).stop)
    assert not state.was_shown_as(replace(state, since="00:00:00").stop)


def test_every_word_of_the_journal_has_words_for_an_operator():
    assert {*MissedReason, *TEXT_REASONS, "print", "part", "turned", "shifted", "faded"} <= CAUSES.keys()
    assert {outcome.name.lower() for outcome in Outcome} < GATE.keys()
    assert {state.name.lower() for state in GateState if state is not GateState.RUNNING} == GATE_STATES.keys()
    assert STOP_NAMES.keys() == STOPS.keys() == set((~Stop(0)).words)


def test_an_image_comes_from_the_archive_and_is_kept_by_the_browser(client, plant):
    part = _rejected_part(plant)
    path, t_utc_ns = _image_of(plant, part)
    answer = client(Role.VIEWER).get(f"/images/{part}?t={t_utc_ns}")
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert client(Role.VIEWER).get(f"/images/{part}").headers["cache-control"] == "no-store"
    assert client(Role.VIEWER).get(f"/images/{part}?t=1").status_code == 404


def test_an_image_outside_the_archive_is_not_sent(client, plant, tmp_path):
    part = _rejected_part(plant)
    path, _ = _image_of(plant, part)
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"\x89PNG secret")
    link = plant.archive / "link.png"
    link.symlink_to(secret)
    try:
        for named in (secret, f"{plant.archive}/../{plant.site.line.engine.name}/golden/no_fail.png", link, "\0.png"):
            plant.journal.amend_image(part, str(named))
            plant.journal.flush()
            answer = client(Role.VIEWER).get(f"/images/{part}")
            assert answer.status_code == 404, named
            assert b"PNG" not in answer.content
    finally:
        plant.journal.amend_image(part, path)
        plant.journal.flush()


@pytest.mark.parametrize(("part", "words"), [(7, "No image of part 7"), (10**6, "no part 1000000"), (2**70, "no part")])
def test_a_part_without_an_image_says_so(client, part, words):
    answer = client(Role.VIEWER).get(f"/images/{part}")
    assert answer.status_code == 404
    assert words in answer.text


def _acknowledge(client: TestClient, **shown: str) -> Response:
    token = client.get("/").text.partition('name="csrf" content="')[2].partition('"')[0]
    return client.post("/acknowledge", data=shown, headers={"X-CSRF-Token": token, "accept": "text/plain"})


def test_an_operator_acknowledges_a_stop_and_a_viewer_does_not(plant, tmp_path):
    socket = tmp_path / "control.sock"
    app = make_app(replace(plant.site, line=replace(plant.site.line, control=socket)))
    with running_line(plant.journal, socket) as line, TestClient(app, "http://localhost") as client:
        line.halt("too_many_rejects")
        for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 200)):
            client.post("/login", data=login_fields(role, client.get("/login").text))
            answer = _acknowledge(client)
            assert answer.status_code == status
            assert (not line.stops) == (status == 200)
        assert answer.text.startswith("Acknowledged.")
        assert line.acknowledged_by is not None
    entry = plant.site.audit.entries(limit=1)[0]
    assert (entry.who, entry.action, entry.detail) == ("operator", "acknowledge", {"stop": "too_many_rejects"})
    answer = _acknowledge(client)
    assert answer.status_code == 503
    assert "not known" in answer.text


def test_a_stop_that_the_page_has_not_shown_is_not_acknowledged(plant, tmp_path):
    socket = tmp_path / "control.sock"
    app = make_app(replace(plant.site, line=replace(plant.site.line, control=socket)))
    with running_line(plant.journal, socket) as line, TestClient(app, "http://localhost") as client:
        client.post("/login", data=login_fields(Role.OPERATOR, client.get("/login").text))
        line.halt("reject_not_driven")
        while not (state := app.state.live.state).can_acknowledge:
            time.sleep(0.01)
        answer = _acknowledge(client, stop="10 rejects in a row. 14:51:40")
        assert (answer.status_code, line.stops) == (409, ["reject_not_driven"])
        assert "Find this label" in answer.text
        assert (_acknowledge(client, stop=state.stop).status_code, line.stops) == (200, [])


def test_every_reason_of_a_stop_is_said(plant, tmp_path):
    socket = tmp_path / "control.sock"
    app = make_app(replace(plant.site, line=replace(plant.site.line, control=socket)))
    with running_line(plant.journal, socket) as line, TestClient(app, "http://localhost") as client:
        client.post("/login", data=login_fields(Role.OPERATOR, client.get("/login").text))
        line.halt("too_many_rejects")
        line.halt("reject_unconfirmed")
        end_s = time.monotonic() + 5
        while "The plant did not confirm" not in app.state.live.state.sentence and time.monotonic() < end_s:
            time.sleep(0.01)
        sentence = app.state.live.state.sentence
        assert "Look at the print head" in sentence
        assert "The plant did not confirm a reject" in sentence
        assert _acknowledge(client).status_code == 200


def test_a_reason_that_came_after_the_page_was_read_is_not_acknowledged(plant, tmp_path):
    socket = tmp_path / "control.sock"
    app = make_app(replace(plant.site, line=replace(plant.site.line, control=socket)))
    with running_line(plant.journal, socket) as line, TestClient(app, "http://localhost") as client:
        client.post("/login", data=login_fields(Role.OPERATOR, client.get("/login").text))
        line.halt("too_many_rejects")
        while not (state := app.state.live.state).can_acknowledge:
            time.sleep(0.01)
        with line.paused():
            line.stops.append("reject_not_driven")  # not in the journal yet, so no page can show it
        assert (_acknowledge(client, stop=state.stop).status_code, line.stops) == (200, ["reject_not_driven"])


def test_nothing_is_acknowledged_if_it_can_not_be_written_down(plant, tmp_path):
    socket = tmp_path / "control.sock"
    site = replace(plant.site, line=replace(plant.site.line, control=socket))
    with running_line(plant.journal, socket) as line, TestClient(make_app(site), "http://localhost") as client:
        line.halt("too_many_rejects")
        client.post("/login", data=login_fields(Role.OPERATOR, client.get("/login").text))
        client.app.state.site = replace(site, audit=AuditTrail(tmp_path / "missing" / "audit.sqlite"))
        answer = _acknowledge(client)
        assert answer.status_code == 503
        assert line.stops == ["too_many_rejects"]


def test_without_a_control_socket_it_says_how_to_acknowledge(client):
    answer = _acknowledge(client(Role.OPERATOR))
    assert answer.status_code == 409
    assert "systemctl reload" in answer.text


def test_a_class_with_html_is_shown_as_text():
    row = dict.fromkeys(("reason", "anomaly_kind", "gate_outcome", "image", "anomaly_excess"))
    row |= {"id": 1, "verdict": "fault", "class": "<img onerror=x>", "certainty": 0.9, "t_utc_ns": 0, "texts": []}
    assert said(row).cause == "<img onerror=x>"
    assert "<img" not in Rejects([row]).shown(1, LineNow())
