"""The line in this process: real gate, journal and engine, with a camera and an engine that can be told to fail."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from inspectd.config import Config
from inspectd.control.requester import Requester
from inspectd.errors import CameraError, InferenceError, LineFault
from inspectd.gate import GateLink
from inspectd.gate.outcome import GateState, Stop
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.line.judges import Judges
from inspectd.line.line import Line
from inspectd.part import Frame, MissedReason
from inspectd.records.journal import Journal
from inspectd.records.reading import open_for_reading
from inspectd.text.verification import Verification
from tests.factories import add_guard, make_toy_bundle, small_label, toy_image

pytestmark = pytest.mark.alone

MS = 1_000_000
KINDS = ("no_fail", "fail_label_half_printed", "no_fail")


class Camera:
    """100 labels a second; `script` replaces what the camera gives for one number."""

    def __init__(self, script: dict[int, Callable[[int], Frame | None]] | None = None) -> None:
        self.script = script or {}
        self.opened = 0
        self._number = 0

    def open(self) -> None:
        self.opened += 1
        self._number = 0

    def grab(self, timeout_ms: float) -> Frame | None:
        time.sleep(0.01)
        number, self._number = self._number, self._number + 1
        # each entry is used once: after that the camera works again
        return self.script.pop(number, good_frame)(number)

    def close(self) -> None:
        pass


def good_frame(number: int) -> Frame:
    now_ns = time.monotonic_ns()
    return Frame(number, now_ns, now_ns, toy_image(KINDS[number % 3], seed=number))


class FailingEngine(Engine):
    """The toy engine; `fails` is called before each inference."""

    def __init__(self, engine: Engine, fails: Callable[[], None]) -> None:
        self.__dict__.update(engine.__dict__)
        self._fails = fails

    def infer(self, batch):
        self._fails()
        return super().infer(batch)

    def warm(self) -> None:
        pass


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(load_bundle(make_toy_bundle(tmp_path_factory.mktemp("engine") / "toy")), InferenceConfig())


class Running:
    def __init__(self, line: Line, journal: Path) -> None:
        self.line = line
        self.journal = journal

    def until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, self.line.books.tally()
            self.line.beat()
            time.sleep(0.01)

    def until_triggers(self, count: int) -> None:
        self.until(lambda: self.line.books.tally().triggers >= count)

    def rows(self, sql: str = "SELECT * FROM parts ORDER BY id") -> list[dict[str, object]]:
        with open_for_reading(self.journal) as connection:
            return [dict(row) for row in connection.execute(sql)]


def gate_section(tmp_path: Path, **changes: object) -> dict[str, object]:
    return {
        "wiring": "pulse_to_reject",
        "delay_ms": 100,
        "width_ms": 1,  # otherwise a pulse that is late on this machine also rejects the good label behind it
        "max_lateness_ms": 200,  # these tests are about the line, not about the timing of this machine
        "output": {"kind": "simulated", "record": str(tmp_path / "output.jsonl")},
        **changes,
    }


@contextmanager
def running(
    tmp_path: Path, engine: Engine, camera: Camera, /, texts: Verification | None = None, **changes: object
) -> Iterator[Running]:
    values = {
        "engine": "unused",
        "camera": {"kind": "replay", "source": "unused", "max_age_ms": 80},
        "gate": gate_section(tmp_path),
        "journal": {"path": str(tmp_path / "journal.sqlite")},
        "watchdog": {"stall_ms": 300},
        **changes,
    }
    config = Config.model_validate(values)
    journal = Journal.open(config.journal)
    journal.use_engine(engine.manifest.name, engine.hash)
    with GateLink.start(config.gate) as gate:
        line = Line(config, camera=camera, judges=Judges(engine, texts), gate=gate, journal=journal, archive=None)
        line.start()
        yield Running(line, config.journal.path)


def finish(run: Running) -> list[dict[str, object]]:
    """Stops the line, checks that its books and the journal agree and that only certain good labels passed."""
    run.line.stop()
    tally = run.line.books.tally()
    assert tally.open == 0
    run.line._journal.close()
    rows = run.rows()
    assert len(rows) == tally.triggers
    assert sum(row["verdict"] == "pass" for row in rows) == tally.passed
    for row in rows:
        if row["gate_outcome"] == "passed":
            assert row["verdict"] == "pass", row
            assert KINDS[int(str(row["frame_number"])) % 3] == "no_fail"
    held_back = [row["gate_outcome"] for row in rows if row["verdict"] == "pass" and row["gate_outcome"] != "passed"]
    # A pause of this machine makes a clearance late, or run permit drop: at most the few labels that are in flight then.
    assert set(held_back) <= {"rejected_late", "rejected_stopped"}, held_back
    assert len(held_back) <= 3, held_back
    return rows


def check_plant(tmp_path: Path, rows: list[dict[str, Any]], delay_ms: int = 100) -> None:
    """At the actuator, not in our records: a pulse met each label that did not pass, and no label that passed."""
    pulses: list[list[int]] = []
    for line in map(json.loads, (tmp_path / "output.jsonl").read_text().splitlines()):
        is_on = bool(pulses) and len(pulses[-1]) == 1
        if line["actuator"] != is_on:
            pulses.append([line["t_ns"]]) if line["actuator"] else pulses[-1].append(line["t_ns"])
    for row in rows:
        due_ns = row["t_mono_ns"] + delay_ms * MS
        until_ns = due_ns + (row["gate_lateness_us"] or 0) * 1000 + 2 * MS
        was_met = any(on_ns <= until_ns and off_ns >= due_ns for on_ns, off_ns in pulses)
        assert was_met == (row["verdict"] != "pass"), row


def reasons(rows: list[dict[str, object]]) -> list[object]:
    return [row["reason"] for row in rows if row["verdict"] == "missed"]


def test_a_line_without_faults(tmp_path, engine):
    with running(tmp_path, engine, Camera()) as run:
        run.until_triggers(60)
        rows = finish(run)
    assert {row["verdict"] for row in rows} == {"pass", "fault"}


def test_the_gates_answers_do_not_hurry_the_next_beat(tmp_path, engine):
    with running(tmp_path, engine, Camera()) as run:
        run.until_triggers(1)
        start_s = time.monotonic()
        run.line.beat()
        run.line.wait(0.2)
        assert time.monotonic() - start_s >= 0.2
        finish(run)


def test_a_gap_in_the_frame_counter(tmp_path, engine):
    camera = Camera()
    # the three lost labels come past like all others
    camera.script[20] = lambda number: setattr(camera, "_number", 24) or time.sleep(0.03) or good_frame(23)
    with running(tmp_path, engine, camera) as run:
        run.until_triggers(60)
        rows = finish(run)
    assert reasons(rows) == ["lost_frame"] * 3
    assert [row["frame_number"] for row in rows[:30]] == list(range(30))


def test_a_gap_that_is_found_when_its_labels_have_gone_by_stops_the_belt(tmp_path, engine):
    camera = Camera()
    next_label_s = 0.0

    def a_long_way_behind(number: int) -> Frame | None:
        nonlocal next_label_s
        next_label_s = next_label_s or time.monotonic() + 1
        if time.monotonic() < next_label_s:
            camera.script[20], camera._number = a_long_way_behind, 20
            return None
        camera._number = 23
        return good_frame(22)

    camera.script[20] = a_long_way_behind
    with running(tmp_path, engine, camera) as run:
        run.until(lambda: run.line.health().stops == Stop.REJECT_NOT_DRIVEN)
        rows = finish(run)
    assert [(row["reason"], row["gate_outcome"]) for row in rows[20:22]] == [("lost_frame", "not_driven")] * 2


def test_an_incomplete_buffer(tmp_path, engine):
    now = time.monotonic_ns
    camera = Camera({20: lambda number: Frame(number, now(), now(), None, MissedReason.BAD_FRAME)})
    with running(tmp_path, engine, camera) as run:
        run.until_triggers(40)
        rows = finish(run)
    assert reasons(rows) == ["bad_frame"]
    assert rows[20]["verdict"] == "missed"


def test_a_camera_that_is_removed_and_comes_back(tmp_path, engine):
    def removed(number: int) -> Frame:
        raise CameraError("has been removed")

    camera = Camera({20: removed})
    states: list[GateState] = []
    with running(tmp_path, engine, camera) as run:
        run.until(lambda: states.append(run.line.health().gate_state) or camera.opened == 2)
        run.until(lambda: states.append(run.line.health().gate_state) or run.line.books.tally().triggers > 60)
        rows = finish(run)
    assert reasons(rows) == []
    with open_for_reading(run.journal) as connection:
        outages = connection.execute("SELECT kind, t_to_utc_ns IS NOT NULL FROM outages").fetchall()
    assert [tuple(outage) for outage in outages] == [("camera", 1)]


def test_a_trigger_that_dies_stops_the_belt_until_it_gives_an_image(tmp_path, engine):
    class Blind(Camera):
        """With a light barrier that sees nothing while `is_blind`."""

        is_blind = False

        def grab(self, timeout_ms: float) -> Frame | None:
            if not self.is_blind:
                return super().grab(timeout_ms)
            time.sleep(0.01)
            return None

    camera = Blind()
    section = {"kind": "replay", "source": "unused", "max_age_ms": 80, "expect_every_s": 1}
    states: list[GateState] = []
    with running(tmp_path, engine, camera, camera=section) as run:
        run.until_triggers(20)
        camera.is_blind = True
        run.until(lambda: camera.opened == 2)
        run.until(lambda: run.line.health().gate_state is GateState.LINE_NOT_OK)
        run.line.acknowledge(Requester("anna"), Stop.TOO_MANY_REJECTS)  # nobody has looked at the light barrier
        end_s = time.monotonic() + 1.5  # opening takes an image without a trigger, which does not bring run permit back
        run.until(lambda: states.append(run.line.health().gate_state) or time.monotonic() > end_s)
        assert set(states) == {GateState.LINE_NOT_OK}
        camera.is_blind = False
        run.until(lambda: run.line.health().gate_state is GateState.RUNNING)
        run.until_triggers(60)
        finish(run)
    with open_for_reading(run.journal) as connection:
        outages = connection.execute("SELECT kind, t_to_utc_ns IS NOT NULL, detail FROM outages").fetchall()
    assert [tuple(outage)[:2] for outage in outages] == [("camera", 1)]
    assert "expect_every_s" in outages[0]["detail"]


def test_a_frame_counter_that_jumps_back_is_no_inspection(tmp_path, engine):
    camera = Camera({20: lambda number: good_frame(3)})
    with running(tmp_path, engine, camera) as run:
        run.until_triggers(60)
        run.until(lambda: camera.opened == 2)
        rows = finish(run)
    assert reasons(rows) == ["bad_frame"]


def test_a_frame_that_is_too_old(tmp_path, engine):
    """Its label comes 20 ms after the one before, its image only 520 ms later: no other label is near it when it is rejected."""
    camera = Camera()
    arrives_s = 0.0

    def old(number: int) -> Frame | None:
        nonlocal arrives_s
        arrives_s = arrives_s or time.monotonic() + 0.53
        if time.monotonic() < arrives_s:
            camera.script[20], camera._number = old, 20
            return None
        frame = good_frame(number)
        return Frame(number, frame.t_trigger_ns - 520_000_000, frame.t_arrival_ns, frame.image)

    camera.script[20] = old
    # a busy machine has half a second for every other label, too
    section = {"kind": "replay", "source": "unused", "max_age_ms": 500}
    with running(tmp_path, engine, camera, camera=section, gate=gate_section(tmp_path, delay_ms=1000)) as run:
        run.until_triggers(40)
        rows = finish(run)
    assert reasons(rows) == ["stale_frame"]


def test_a_slow_engine_overruns_the_queue_and_the_oldest_give_way(tmp_path, engine):
    slow = FailingEngine(engine, lambda: time.sleep(0.03))
    slow.service_ms = 30
    with running(tmp_path, slow, Camera()) as run:
        run.until_triggers(80)
        rows = finish(run)
    assert set(reasons(rows)) <= {"overrun", "stale_frame", "late"}
    assert "overrun" in reasons(rows)
    assert any(row["verdict"] == "pass" for row in rows)


def test_an_engine_that_raises(tmp_path, engine):
    failures = iter([False] * 20 + [True] * 5 + [False] * 1000)

    def fails() -> None:
        if next(failures):
            raise InferenceError("out of memory")

    with running(tmp_path, FailingEngine(engine, fails), Camera()) as run:
        run.until_triggers(60)
        rows = finish(run)
    assert reasons(rows) == ["engine_error"] * 5


def test_an_engine_that_gives_nonsense(tmp_path, engine):
    class Nonsense(FailingEngine):
        def infer(self, batch):
            return super().infer(batch) * np.nan

    with running(tmp_path, Nonsense(engine, lambda: None), Camera()) as run:
        run.until_triggers(30)
        rows = finish(run)
    assert reasons(rows) == ["engine_error"] * len(rows)


def test_an_engine_that_hangs_costs_run_permit(tmp_path, engine):
    released = threading.Event()
    count = iter(range(10_000))

    def fails() -> None:
        if next(count) == 20:
            released.wait(20)

    with running(tmp_path, FailingEngine(engine, fails), Camera()) as run:
        run.until_triggers(25)
        run.until(lambda: run.line.health().gate_state is GateState.LINE_NOT_OK)
        assert run.line.health().stalled(300) == ["inspect"]
        released.set()
        run.until(lambda: run.line.health().gate_state is GateState.RUNNING)
        rows = finish(run)
    assert "overrun" in reasons(rows) or "stale_frame" in reasons(rows)


class Labels(Camera):
    """Good labels, every third with a small fault that the network does not see."""

    def grab(self, timeout_ms: float) -> Frame | None:
        frame = super().grab(timeout_ms)
        assert frame is not None
        image = small_label(seed=1000 + frame.number, blot_px=10 if frame.number % 3 == 1 else 0)
        return replace(frame, image=image)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = add_guard(make_toy_bundle(tmp_path_factory.mktemp("guarded") / "toy"))
    return load_engine(load_bundle(folder), InferenceConfig())


def test_a_small_fault_is_rejected_at_the_gate(tmp_path, guarded):
    with running(tmp_path, guarded, Labels()) as run:
        run.until_triggers(30)
        assert run.line.image_size == (160, 120)
        rows = finish(run)
    inspected = [row for row in rows if row["verdict"] != "missed"]  # a busy machine misses some
    faulty = [row for row in inspected if row["frame_number"] % 3 == 1]
    assert len(faulty) >= 3
    assert {(row["verdict"], row["reason"], row["gate_outcome"]) for row in faulty} == {
        ("uncertain", "anomaly", "rejected")
    }
    good = [row for row in inspected if row["frame_number"] % 3 != 1]
    assert {row["verdict"] for row in good} == {"pass"}
    assert all(row["guard_us"] > 0 for row in inspected)
    check_plant(tmp_path, rows)


def test_images_of_another_size_than_the_guards_do_not_pass(tmp_path, guarded):
    with running(tmp_path, guarded, Camera()) as run, capture_logs() as logs:
        run.until_triggers(20)
        rows = finish(run)
    assert {row["verdict"] for row in rows} == {"missed"}
    assert "engine_error" in reasons(rows)
    check_plant(tmp_path, rows)
    (said,) = {log["error"] for log in logs if log["event"] == "inference failed"}
    assert "fitted to images of 160x120 px, but the image has 64x48 px: set the camera to that size" in said


def test_a_guard_that_fails_lets_nothing_pass(tmp_path, guarded):
    class Broken:
        size, print_box = (160, 120), (0, 0, 8, 8)

        def judge(self, image):
            raise ZeroDivisionError("a bug")

    failing = FailingEngine(guarded, lambda: None)
    failing._guard = copy(guarded._guard)
    failing._guard._guard = Broken()
    with running(tmp_path, failing, Labels()) as run:
        run.until_triggers(20)
        rows = finish(run)
    assert {row["verdict"] for row in rows} == {"missed"}
    assert "engine_error" in reasons(rows)
    check_plant(tmp_path, rows)


def test_a_new_engine_that_fails_on_its_first_part_gives_way(tmp_path, engine):
    def fails() -> None:
        raise InferenceError("not on this card")

    with running(tmp_path, engine, Camera()) as run:
        run.until_triggers(20)
        run.line.swap(Judges(FailingEngine(engine, fails)))
        run.until_triggers(60)
        assert run.line.judges.engine is engine
        rows = finish(run)
    assert reasons(rows) == ["engine_error"]


def test_a_slower_engine_gets_a_shorter_queue(tmp_path, engine):
    """With the depth for the old engine, all its labels would be too old before their turn."""
    slow = FailingEngine(engine, lambda: time.sleep(0.03))
    slow.service_ms = 30
    with running(tmp_path, engine, Camera()) as run:
        run.until_triggers(20)
        run.line.swap(Judges(slow))
        run.until_triggers(120)
        verdicts = [row["reason"] or row["verdict"] for row in finish(run)[40:]]
    judged = sum(verdict in ("pass", "fault") for verdict in verdicts)
    assert judged > 0.15 * len(verdicts), verdicts
    assert verdicts.count("stale_frame") < judged, verdicts


def test_a_stage_that_dies_takes_the_line_with_it(tmp_path, engine):
    def bug(number: int) -> Frame:
        raise ZeroDivisionError("a bug")

    with running(tmp_path, engine, Camera({10: bug})) as run:
        with pytest.raises(LineFault, match="ZeroDivisionError: a bug"):
            run.until_triggers(1000)
        # an inspect thread left behind would warm its engine while the interpreter ends, which aborts the process
        with pytest.raises(LineFault, match="ZeroDivisionError: a bug"):
            run.line.stop()


def test_a_gate_that_is_gone_ends_the_line_without_a_traceback(tmp_path, engine):
    def gone(number: int) -> Frame:
        raise LineFault("the gate is gone (exit code -9)")

    with capture_logs() as logs, running(tmp_path, engine, Camera({10: gone})) as run:
        with pytest.raises(LineFault, match=r"^the gate is gone"):
            run.until_triggers(1000)
        with pytest.raises(LineFault, match=r"^the gate is gone"):
            run.line.stop()
    ended = [each for each in logs if each["log_level"] == "critical"]
    assert ended == [{"event": "the line ends", "error": "the gate is gone (exit code -9)", "log_level": "critical"}]


def test_a_stop_that_was_asked_for_is_no_warning(tmp_path, engine):
    with capture_logs() as logs, running(tmp_path, engine, Camera()) as run:
        run.until_triggers(20)
        finish(run)
    off = [each for each in logs if each["event"] == "run permit off"]
    assert off[-1] == {"event": "run permit off", "reason": "stopping", "log_level": "info"}


def test_a_latched_stop_is_recorded_once_until_somebody_acknowledges_it(tmp_path, engine):
    """Also if it comes again at once: good labels only, and a stop after each reject."""
    anna, ben = Requester("anna", 1000, 4711), Requester("ben", 1001, 4712)
    with running(tmp_path, engine, Camera(), gate=gate_section(tmp_path, stop_after_rejects=1)) as run:
        run.until(lambda: run.line.health().stops == Stop.TOO_MANY_REJECTS)
        run.until_triggers(run.line.books.tally().triggers + 10)
        assert run.line.acknowledge(anna) == Stop.TOO_MANY_REJECTS
        assert run.line.health().stops == Stop(0)
        assert run.line.acknowledge(anna) == Stop(0)
        run.until(lambda: run.line.health().stops)
        with capture_logs() as logs:
            assert run.line.acknowledge(ben) == Stop.TOO_MANY_REJECTS
        finish(run)
    assert logs == [
        {
            "event": "acknowledged",
            "log_level": "info",
            "stops": ("too_many_rejects",),
            "user": "ben",
            "uid": 1001,
            "pid": 4712,
        }
    ]
    with open_for_reading(run.journal) as connection:
        stops = connection.execute("SELECT reason, acknowledged_by, duration_ns FROM stops").fetchall()
    assert [stop["acknowledged_by"] for stop in stops][:2] == ["anna", "ben"]
    assert {stop["reason"] for stop in stops} == {"too_many_rejects"}
    assert len(stops) <= 3


def test_every_reason_is_a_stop_of_its_own_and_is_acknowledged_on_its_own(tmp_path, engine):
    gate = gate_section(tmp_path, stop_after_rejects=1, confirmation={"within_ms": 20})
    gate["output"]["confirms"] = False

    def good_but_20(number: int) -> Frame:
        frame = replace(good_frame(3 * number), number=number)
        return replace(frame, image=toy_image(KINDS[1])) if number == 20 else frame

    with running(tmp_path, engine, Camera(dict.fromkeys(range(1000), good_but_20)), gate=gate) as run:
        run.until(lambda: run.line.health().stops == Stop.TOO_MANY_REJECTS | Stop.REJECT_UNCONFIRMED)
        shown = Stop.TOO_MANY_REJECTS | Stop.REJECT_NOT_DRIVEN
        assert run.line.acknowledge(Requester("anna"), shown) == Stop.TOO_MANY_REJECTS
        run.until_triggers(run.line.books.tally().triggers + 10)
        assert run.line.health().stops == Stop.REJECT_UNCONFIRMED
        assert run.line.health().gate_state is GateState.STOPPED
        assert run.line.acknowledge(Requester("ben")) == Stop.REJECT_UNCONFIRMED
        run.line.stop()
        run.line._journal.close()
    with open_for_reading(run.journal) as connection:
        stops = connection.execute("SELECT reason, acknowledged_by FROM stops ORDER BY id").fetchall()
    assert sorted(map(tuple, stops[:2])) == [("reject_unconfirmed", "ben"), ("too_many_rejects", "anna")]
