"""A line that verifies codes, from the image to the actuator's coil. Reader, expectations, guard, gate and clock are real.

The label bears one Data Matrix of 6 digits. What it must say comes from a date rule, or is given while the line runs.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inspectd.control.protocol import ExpectRequest
from inspectd.control.requester import Requester
from inspectd.errors import ConfigError
from inspectd.gate.outcome import GateState
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.line.judges import Judges
from inspectd.part import Frame
from inspectd.text.config import TextConfig
from inspectd.text.verification import Verification, load_verification
from tests.factories import coded_label, make_coded_bundle
from tests.line.test_line import Camera, Running, check_plant, gate_section, running

pytestmark = pytest.mark.alone

DELAY_MS = 300
PRINTER = Requester("printer", 1000, 4711)
DATE = {"from": "date", "format": "%y%m%d"}
LOT = {"from": "given"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = make_coded_bundle(tmp_path_factory.mktemp("coded") / "toy")
    return load_engine(load_bundle(folder), InferenceConfig())


def verification(
    engine: Engine, expect: dict[str, Any], *, box: tuple[int, int, int, int] | None = None
) -> Verification:
    left, top, _, _ = engine._guard._guard.aligned.region
    where = box or (112 - left, 40 - top, 40, 40)
    field = {"kind": "code", "symbology": "data_matrix", "box": where, "pattern": "[0-9]{6}", "expect": expect}
    section = {"time_zone": "UTC", "clock": "set_by_hand", "fields": {"code": field}}
    return load_verification(TextConfig.model_validate(section), InferenceConfig(), engine)


class Printed(Camera):
    """Each label says what `says` tells for its number."""

    def __init__(self, says: Callable[[int], str]) -> None:
        super().__init__()
        self._says = says
        self.said: dict[int, str] = {}

    def grab(self, timeout_ms: float) -> Frame | None:
        frame = super().grab(timeout_ms)
        assert frame is not None
        self.said[frame.number] = self._says(frame.number)
        return replace(frame, image=coded_label(self.said[frame.number], seed=frame.number))


@contextmanager
def verifying(tmp_path: Path, engine: Engine, camera: Camera, texts: Verification | None = None) -> Iterator[Running]:
    """A line with enough time for each label, also on a busy machine."""
    gate = gate_section(tmp_path, delay_ms=DELAY_MS)
    source = {"kind": "replay", "source": "unused", "max_age_ms": DELAY_MS - 50}
    with running(tmp_path, engine, camera, texts, gate=gate, camera=source) as run:
        run.until(lambda: run.line.health().gate_state is GateState.RUNNING)
        yield run


def give(texts: Verification, value: str) -> None:
    request = ExpectRequest.model_validate({"verb": "expect", "fields": {"code": value}})
    texts.expectations.give(request, PRINTER)


def finish(run: Running, tmp_path: Path) -> list[dict[str, Any]]:
    """Stops the line. Each part: its row, with what its field said. The coil agrees with the journal."""
    run.line.stop()
    run.line._journal.close()
    rows: list[dict[str, Any]] = [dict(row) for row in run.rows()]
    check_plant(tmp_path, rows, DELAY_MS)
    texts = {text["part"]: text for text in run.rows("SELECT * FROM texts")}
    return [row | {"text": texts.get(row["id"])} for row in rows]


def inspected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["verdict"] != "missed"]  # a busy machine misses some


def today(days: int = 0) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%y%m%d}"


def test_the_date_of_another_day_is_rejected_and_the_right_one_passes(tmp_path, engine):
    says = [today(), today(-1), today(), today(+1)]
    texts = verification(engine, DATE)
    with verifying(tmp_path, engine, Printed(lambda number: says[number % 4]), texts) as run:
        run.until_triggers(run.line.books.tally().triggers + 24)
        rows = inspected(finish(run, tmp_path))
    assert len(rows) >= 12
    for row in rows:
        text, printed = row["text"], says[row["frame_number"] % 4]
        assert (text["found"], json.loads(text["expected"])) == (printed, [today()])
        assert row["text_us"] > 0
        right = printed == today()
        assert text["verdict"] == ("right" if right else "code_wrong")
        assert (row["verdict"], row["reason"]) == (("pass", None) if right else ("fault", "code_wrong"))
        assert abs(text["box_left"] - 112) <= 2
        assert abs(text["box_top"] - 40) <= 2
    assert run.line.books.tally().faults["code_wrong"] == sum(row["verdict"] == "fault" for row in rows)


def test_nothing_passes_until_somebody_says_what_is_right(tmp_path, engine):
    texts = verification(engine, LOT)
    with verifying(tmp_path, engine, Printed(lambda _: "748183"), texts) as run:
        run.until_triggers(15)
        give(texts, "748183")
        known_from = run.line.books.tally().triggers
        run.until_triggers(known_from + 15)
        rows = inspected(finish(run, tmp_path))
    before = [row for row in rows if row["id"] <= known_from - 1]
    assert {(row["verdict"], row["reason"], row["text"]["verdict"]) for row in before} == {
        ("uncertain", "text_not_expected", "text_not_expected")
    }
    assert all(row["text"]["source"] and row["text"]["expected"] == "[]" for row in before)
    assert {row["verdict"] for row in rows if row["id"] > known_from + 2} == {"pass"}
    assert run.line.books.tally().not_expected >= len(before)


@pytest.mark.parametrize("grace_s", [0, 0.3])
def test_a_change_of_job_in_mid_stream(tmp_path, engine, grace_s):
    """The controller gives the new lot; six labels of the old lot are still on the belt."""
    texts = verification(engine, LOT | {"grace_s": grace_s})
    changed: list[int] = []
    camera = Printed(lambda number: "748184" if changed and number >= changed[0] + 6 else "748183")
    give(texts, "748183")
    with verifying(tmp_path, engine, camera, texts) as run:
        run.until_triggers(20)
        give(texts, "748184")
        changed.append(camera._number)
        run.until_triggers(run.line.books.tally().triggers + 30)
        rows = inspected(finish(run, tmp_path))
    for row in rows:
        text, printed = row["text"], camera.said[row["frame_number"]]
        assert text["found"] == printed
        assert (row["verdict"] == "pass") == (printed in json.loads(text["expected"]))
    late = [row for row in rows if changed[0] < row["frame_number"] < changed[0] + 6]
    assert {row["verdict"] for row in late} == ({"pass"} if grace_s else {"fault"})
    if grace_s:
        assert {row["text"]["expected"] for row in late} == {'["748184", "748183"]'}
    assert {row["verdict"] for row in rows if row["frame_number"] < changed[0] - 1} == {"pass"}
    assert [row["verdict"] for row in rows][-5:] == ["pass"] * 5


def test_the_day_changes_in_mid_stream(tmp_path, engine, monkeypatch):
    """From 0.4 s before midnight, with a grace of 0.15 s; the printer changes its date 0.1 s too late."""
    clock = time.time_ns
    begin = datetime.now(UTC).replace(hour=23, minute=59, second=59, microsecond=600_000)
    begin_ns = int(begin.timestamp()) * 10**9 + 600_000_000
    midnight_ns = begin_ns + 400_000_000
    old, new = f"{begin:%y%m%d}", f"{begin + timedelta(days=1):%y%m%d}"
    camera = Printed(lambda _: new if time.time_ns() > midnight_ns + 100_000_000 else old)
    with verifying(tmp_path, engine, camera) as run:
        ahead_ns = begin_ns - clock()
        monkeypatch.setattr(time, "time_ns", lambda: clock() + ahead_ns)
        run.line.swap(Judges(engine, verification(engine, DATE | {"grace_s": 0.15})))
        run.until(lambda: time.time_ns() > midnight_ns + 400_000_000)
        rows = [row for row in inspected(finish(run, tmp_path)) if row["text"] and row["t_utc_ns"] >= begin_ns]
    assert {row["text"]["found"] for row in rows} == {old, new}
    for row in rows:
        from_midnight_ns, allowed = row["t_utc_ns"] - midnight_ns, json.loads(row["text"]["expected"])
        assert (row["verdict"] == "pass") == (row["text"]["found"] in allowed)
        if abs(from_midnight_ns) <= 150_000_000:
            assert sorted(allowed) == [old, new]
        else:
            assert allowed == [new if from_midnight_ns > 0 else old]
    assert {row["verdict"] for row in rows if abs(row["t_utc_ns"] - midnight_ns) < 90_000_000} <= {"pass"}


def broken(texts: Verification, check: Callable[..., Any]) -> Verification:
    """The verification with `check` in place of looking at the label."""
    texts._check = check
    return texts


def test_a_text_stage_that_raises_lets_nothing_pass(tmp_path, engine):
    def fail(*_: object) -> None:
        raise MemoryError

    texts = broken(verification(engine, DATE), fail)
    with verifying(tmp_path, engine, Printed(lambda _: today()), texts) as run:
        run.until_triggers(15)
        rows = finish(run, tmp_path)
    assert {row["verdict"] for row in rows} == {"missed"}
    assert "engine_error" in {row["reason"] for row in rows}
    assert all(row["text"] is None for row in rows)


def test_a_text_stage_that_hangs_stops_the_belt_and_its_label_does_not_pass(tmp_path, engine):
    texts = verification(engine, DATE)
    released, look, looked = threading.Event(), texts._check, []

    def hang(*arguments: Any) -> Any:
        looked.append(arguments[0].id)
        if len(looked) == 5:
            released.wait()
        return look(*arguments)

    with verifying(tmp_path, engine, Printed(lambda _: today()), broken(texts, hang)) as run:
        run.until(lambda: run.line.health().stalled(300) == ["inspect"])
        released.set()
        run.until(lambda: run.line.books.tally().passed > 10)
        rows = finish(run, tmp_path)
    (hung,) = [row for row in rows if row["id"] == looked[4]]
    assert (hung["verdict"], hung["reason"], hung["gate_outcome"] == "passed") == ("missed", "late", False)
    assert hung["text"]["verdict"] == "right", "it was right, but too late"


def test_new_texts_that_fail_give_way_to_the_old_ones_which_forget_what_they_were_told(tmp_path, engine):
    """What is told while the new ones are in use does not reach the old ones, so the lot before must not pass any more."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    texts = verification(engine, LOT)
    give(texts, "748183")
    with verifying(tmp_path, engine, Printed(lambda _: "748183"), texts) as run:
        run.until(lambda: run.line.books.tally().passed > 5)
        run.line.swap(Judges(engine, broken(verification(engine, LOT), fail)))
        run.until(lambda: run.line.books.tally().not_expected > 3)
        old = run.line.judges.texts
        assert old is not None
        give(old, "748183")
        before = run.line.books.tally().passed
        run.until(lambda: run.line.books.tally().passed > before + 3)
        rows = finish(run, tmp_path)
    (failed,) = [row["id"] for row in rows if row["reason"] == "engine_error"]
    (first,) = [row["id"] for row in rows if row["reason"] == "text_not_expected"][:1]
    assert not [row for row in rows if failed <= row["id"] < first and row["verdict"] == "pass"]


def test_a_serial_number_passes_once(tmp_path, engine):
    """Every fifth label repeats the number before. It would be near enough if that number had not passed."""
    texts = verification(engine, {"from": "counter", "may_differ_by": 1})
    camera = Printed(lambda number: f"{500 + number - (number % 5 == 4):06}")
    with verifying(tmp_path, engine, camera, texts) as run:
        give(texts, f"{500 + camera._number:06}")
        run.until(lambda: run.line.books.tally().faults.get("code_wrong", 0) >= 3)
        rows = inspected(finish(run, tmp_path))
    passed = {row["text"]["found"]: row["frame_number"] for row in rows if row["verdict"] == "pass"}
    assert sum(row["verdict"] == "pass" for row in rows) == len(passed), "no number passed twice"
    repeated = [row for row in rows if row["frame_number"] - 1 == passed.get(row["text"]["found"])]
    assert repeated
    assert {(row["verdict"], row["reason"]) for row in repeated} == {("fault", "code_wrong")}


def without_guard(engine: Engine) -> Engine:
    other = object.__new__(Engine)
    other.__dict__.update(engine.__dict__)
    other._guard = None
    return other


def test_a_line_with_texts_needs_a_guard_that_finds_the_print(engine):
    with pytest.raises(ConfigError, match="the engine has no guard that finds the print"):
        load_verification(verification(engine, DATE).config, InferenceConfig(), without_guard(engine))


@pytest.mark.parametrize("box", [(150, 20, 40, 40), (20, 60, 40, 40)])
def test_a_field_beyond_the_print_is_refused(engine, box):
    with pytest.raises(ConfigError, match=r"text\.fields\.code\.box: .* reaches beyond the print, which is \d+x88 px"):
        verification(engine, DATE, box=box)
