"""The inspection worker with a real queue, books and journal. Each test controls engine, clock and gate."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from structlog.testing import capture_logs

from inspectd.decision import Policy
from inspectd.errors import EngineLost, InferenceError, JournalError
from inspectd.gate.outcome import Outcome
from inspectd.inference import Judged
from inspectd.inference.image_quality import quality_of
from inspectd.line.frame_queue import FrameQueue
from inspectd.line.inspection import Inspection
from inspectd.line.judges import Judges
from inspectd.line.ledger import Books
from inspectd.part import Anomaly, Fault, Frame, Missed, MissedReason, Part, Pass, Scores, Uncertain, Verdict
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reading import open_for_reading

CLASSES = ("crooked", "good")
GOOD, CROOKED, UNKNOWN = (0.1, 0.9), (0.8, 0.2), (0.3, 0.4)
MAX_AGE_NS = 80_000_000


class Clock:
    """Stands still, except while something takes time."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns


class Engine:
    """Its scores are the image's two pixels in percent. Preprocessing takes 3 ms, inference 7 ms, the guard 1 ms."""

    def __init__(self, clock: Clock, name: str = "first") -> None:
        self.manifest = SimpleNamespace(name=name, version="1.0.0")
        self.hash = name * 8
        self.policy = Policy(CLASSES, "good", 0.5)
        self.warmed = 0
        self.broken = False
        self.anomaly: Anomaly | None = None
        self.on_warm: Callable[[], None] = lambda: None
        self._clock = clock

    def judge(self, image) -> Judged:
        self._clock.now_ns += 10_001_998
        if self.broken:
            raise InferenceError("out of memory")
        verdict = self.policy.judge((image[0] / 100).tolist())
        if self.anomaly is None or not isinstance(verdict, Pass):
            return Judged(verdict, 3_000, 7_000, None, quality=quality_of(image[np.newaxis, np.newaxis]))
        self._clock.now_ns += 1_000_000
        return Judged(Uncertain(verdict.scores, self.anomaly), 3_000, 7_000, 1_000)

    def warm(self) -> None:
        self.warmed += 1
        self.on_warm()


class Gate:
    """Remembers for each cleared part what the journal says at that moment."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.cleared: list[tuple[int, str]] = []

    def clear(self, part: int) -> None:
        (row,) = rows(self._journal, f"SELECT verdict FROM parts WHERE id = {part}")
        self.cleared.append((part, row["verdict"]))


class SlowJournal(Journal):
    """Committing takes 2 ms; counts the signs of life."""

    clock: Clock
    beats = 0

    def append(self, *arguments) -> None:
        self.clock.now_ns += 2_000_999
        super().append(*arguments)

    def note_alive(self) -> None:
        self.beats += 1
        super().note_alive()


class Archive:
    def __init__(self) -> None:
        self.offered: list[tuple[int, Verdict, list[list[int]]]] = []

    def offer(self, part: Part, verdict: Verdict, image) -> None:
        self.offered.append((part.id, verdict, image.tolist()))


class Bench:
    """An inspection worker, and everything that it uses."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.engine = Engine(clock)
        self.journal = SlowJournal.open(JournalConfig(path=path, busy_timeout_ms=0))
        self.journal.clock = clock
        self.journal.use_engine(self.engine.manifest.name, self.engine.hash)
        self.queue = FrameQueue(100)
        self.books = Books()
        self.gate = Gate(path)
        self.archive = Archive()
        self.inspection = self.worker(self.archive)
        self._parts = 0

    def worker(self, archive: Archive | None) -> Inspection:
        return Inspection(
            judges=Judges(self.engine),
            queue=self.queue,
            gate=self.gate,
            books=self.books,
            journal=self.journal,
            archive=archive,
            max_age_ms=MAX_AGE_NS / 1e6,
        )

    def put(self, scores=GOOD, *, missed: MissedReason | None = None, age_ns: int = 0, due_in_ns: int = 10**12) -> int:
        """A part that was triggered `age_ns` ago; its image came after a third of that time. Returns its id."""
        self._parts += 1
        t_trigger_ns = self.clock.now_ns - age_ns
        image = None if missed else np.array([[round(100 * score) for score in scores]], np.uint8)
        part = Part(
            self._parts, self._parts + 100, t_trigger_ns, time.time_ns() - age_ns, self.clock.now_ns + due_in_ns
        )
        self.books.trigger(part.id)
        self.queue.put(part, Frame(part.frame_number, t_trigger_ns, t_trigger_ns + age_ns // 3, image, missed))
        return part.id

    def inspect(self) -> list[sqlite3.Row]:
        """Judges everything in the queue. Returns the journal's rows of parts."""
        self.inspection.stop()
        self.inspection.run()
        self.journal.flush()
        return self.rows()

    def rows(self, sql: str = "SELECT * FROM parts ORDER BY id") -> list[sqlite3.Row]:
        return rows(self.path, sql)


def rows(path: Path, sql: str) -> list[sqlite3.Row]:
    with closing(open_for_reading(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Iterator[Bench]:
    clock = Clock()
    of_the_worker = SimpleNamespace(monotonic_ns=clock, monotonic=lambda: clock.now_ns / 1e9)
    monkeypatch.setattr("inspectd.line.inspection.time", of_the_worker)
    bench = Bench(tmp_path / "journal.sqlite", clock)
    yield bench
    bench.journal.close()


def test_each_part_is_recorded_and_only_a_recorded_pass_is_cleared(bench):
    for scores in (GOOD, CROOKED, UNKNOWN, GOOD):
        bench.put(scores)
    bench.put(missed=MissedReason.LOST_FRAME)
    bench.put(missed=MissedReason.OVERRUN)
    found = [(row["id"], row["frame_number"], row["verdict"], row["class"], row["reason"]) for row in bench.inspect()]
    assert found == [
        (1, 101, "pass", "good", None),
        (2, 102, "fault", "crooked", None),
        (3, 103, "uncertain", "good", None),
        (4, 104, "pass", "good", None),
        (5, 105, "missed", None, "lost_frame"),
        (6, 106, "missed", None, "overrun"),
    ]
    assert bench.gate.cleared == [(1, "pass"), (4, "pass")]
    tally = bench.books.tally()
    assert (tally.triggers, tally.open, tally.passed, tally.faults, tally.uncertain) == (6, 0, 2, {"crooked": 1}, 1)
    assert tally.missed == {"lost_frame": 1, "overrun": 1}


def test_where_the_time_went_is_recorded(bench):
    bench.put(age_ns=60_002_999)
    bench.put(missed=MissedReason.BAD_FRAME, age_ns=60_002_999)
    judged, missed = bench.inspect()
    stages = ["acquire_us", "queue_us", "preprocess_us", "infer_us", "record_us", "verdict_us"]
    assert [judged[stage] for stage in stages] == [20_000, 40_002, 3_000, 7_000, 2_000, 70_004]
    # the second one waited for the first, which took 3 + 7 + 2 ms
    assert [missed[stage] for stage in stages] == [20_000, 52_004, None, None, 2_000, 72_005]


def test_how_the_image_looks_is_recorded_with_the_verdict(bench):
    bench.put((0.51, 0.51))
    bench.put((0.51, 1.0))
    bench.put(missed=MissedReason.BAD_FRAME)
    flat, judged, missed = bench.inspect()
    assert (flat["brightness"], flat["sharpness"]) == (0.2, None)
    assert judged["brightness"] == pytest.approx(75.5 / 255, abs=1e-6)
    assert judged["sharpness"] > 0
    assert (missed["brightness"], missed["sharpness"]) == (None, None)


def test_an_anomaly_is_recorded_with_its_place_and_not_cleared(bench):
    bench.engine.anomaly = Anomaly("print", (10, 20, 30, 40), 1.5)
    bench.put()
    bench.put(CROOKED)
    stopped, fault = bench.inspect()
    assert (stopped["verdict"], stopped["reason"], stopped["class"]) == ("uncertain", "anomaly", "good")
    assert [stopped[f"anomaly_{key}"] for key in ("kind", "left", "top", "width", "height")] == [
        "print",
        10,
        20,
        30,
        40,
    ]
    assert (stopped["guard_us"], fault["guard_us"]) == (1_000, None)
    assert bench.gate.cleared == []
    assert bench.books.tally().uncertain == 1


def test_the_size_of_the_inspected_images_is_known(bench):
    assert bench.inspection.image_size is None
    bench.put(missed=MissedReason.LOST_FRAME)
    bench.engine.broken = True
    bench.put()
    bench.inspect()
    assert bench.inspection.image_size is None, "no engine has proven that it can judge images of this size"
    bench.engine.broken = False
    bench.put()
    bench.inspect()
    assert bench.inspection.image_size == (2, 1)


@pytest.mark.parametrize(("left_ns", "reason"), [(10_001_998, "late"), (10_001_999, None), (5, "late")])
def test_a_verdict_at_due_is_late(bench, left_ns, reason):
    """Judging takes 10 001 998 ns."""
    bench.put(due_in_ns=left_ns)
    (row,) = bench.inspect()
    assert row["reason"] == reason
    assert bench.gate.cleared == ([] if reason else [(1, "pass")])
    assert bench.books.tally().missed == ({"late": 1} if reason else {})


def test_why_a_part_was_missed_is_not_covered_by_being_late(bench):
    bench.put(missed=MissedReason.BAD_FRAME, due_in_ns=-1)
    (row,) = bench.inspect()
    assert row["reason"] == "bad_frame"


@pytest.mark.parametrize(("age_ns", "reason"), [(MAX_AGE_NS, None), (MAX_AGE_NS + 1, "stale_frame")])
def test_an_image_older_than_allowed_is_not_judged(bench, age_ns, reason):
    bench.put(age_ns=age_ns)
    (row,) = bench.inspect()
    assert row["reason"] == reason
    assert (row["infer_us"] is None) == (reason is not None)


def test_an_engine_that_fails_makes_its_parts_missed_and_is_used_on(bench):
    bench.put()
    bench.inspect()
    bench.engine.broken = True
    bench.put()
    bench.put()
    bench.inspect()
    bench.engine.broken = False
    bench.put()
    assert [row["reason"] for row in bench.inspect()] == [None, "engine_error", "engine_error", None]
    assert bench.rows()[1]["infer_us"] is None
    assert bench.inspection.judges.engine is bench.engine
    assert [part for part, _ in bench.gate.cleared] == [1, 4]


def engines_of(bench: Bench) -> list[str]:
    sql = "SELECT engines.name, engines.hash FROM parts JOIN engines ON engines.id = parts.engine ORDER BY parts.id"
    found = bench.rows(sql)
    assert all(row["hash"] == row["name"] * 8 for row in found)
    return [row["name"] for row in found]


def test_engines_change_between_two_parts_and_the_journal_names_each(bench):
    second = Engine(bench.clock, "second")
    bench.put()
    bench.inspect()
    bench.inspection.swap(Judges(second))
    bench.put()
    bench.put()
    bench.inspect()
    assert bench.inspection.judges.engine is second
    assert engines_of(bench) == ["first", "second", "second"]


def test_a_new_engine_that_fails_at_once_gives_way_to_the_proven_one(bench):
    second = Engine(bench.clock, "second")
    second.broken = True
    bench.inspection.swap(Judges(second))
    for _ in range(3):
        bench.put()
    assert [row["reason"] for row in bench.inspect()] == ["engine_error", None, None]
    assert engines_of(bench) == ["second", "first", "first"]
    assert bench.inspection.judges.engine is bench.engine


def test_an_engine_that_is_lost_ends_the_line_after_its_part_is_recorded(bench):
    def lose(image):
        raise EngineLost("the GPU does not answer any more")

    bench.put()
    bench.inspect()
    bench.engine.judge = lose
    bench.inspection = bench.worker(None)
    bench.put()
    bench.put()
    bench.inspection.stop()
    with pytest.raises(EngineLost):
        bench.inspection.run()
    assert [(row["id"], row["reason"]) for row in bench.rows()] == [(1, None), (2, "engine_error")]
    assert [part for part, _ in bench.gate.cleared] == [1]


def test_an_engine_that_is_lost_while_idle_ends_the_line(bench):
    def lose():
        raise EngineLost("the GPU does not answer any more")

    with pytest.raises(EngineLost):
        idle(bench, 3, lose)
    assert bench.engine.warmed == 1


def test_a_new_engine_that_has_judged_a_part_is_the_proven_one(bench):
    second, third = Engine(bench.clock, "second"), Engine(bench.clock, "third")
    third.broken = True
    bench.inspection.swap(Judges(second))
    bench.put()
    bench.inspect()
    second.broken = True
    bench.put()
    bench.inspect()
    assert bench.inspection.judges.engine is second
    second.broken = False
    bench.inspection.swap(Judges(third))
    bench.put()
    bench.put()
    assert [row["reason"] for row in bench.inspect()] == [None, "engine_error", "engine_error", None]
    assert engines_of(bench) == ["second", "second", "third", "second"]


def test_what_cannot_be_recorded_does_not_pass(bench):
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        bench.put()
        bench.put(CROOKED)
        bench.inspection.stop()
        bench.inspection.run()
        other.execute("ROLLBACK")
    assert bench.books.tally().missed == {"record_error": 2}
    assert bench.gate.cleared == []
    assert [verdict for _, verdict, _ in bench.archive.offered] == [Missed(MissedReason.RECORD_ERROR)] * 2
    bench.put()
    assert [(row["id"], row["verdict"]) for row in bench.inspect()] == [(3, "pass")]
    (outage,) = bench.rows("SELECT kind, parts FROM outages")
    assert tuple(outage) == ("record_error", 2)


def test_the_archive_is_offered_each_image_with_its_verdict(bench):
    for scores in (GOOD, CROOKED, UNKNOWN):
        bench.put(scores)
    bench.put(missed=MissedReason.LOST_FRAME)
    bench.put(age_ns=MAX_AGE_NS + 1)
    bench.inspect()
    assert bench.archive.offered == [
        (1, Pass(Scores(CLASSES, GOOD)), [[10, 90]]),
        (2, Fault(Scores(CLASSES, CROOKED)), [[80, 20]]),
        (3, Uncertain(Scores(CLASSES, UNKNOWN)), [[30, 40]]),
        (5, Missed(MissedReason.STALE_FRAME), [[10, 90]]),
    ]


def test_a_line_without_archive_works_as_well(bench):
    bench.inspection = bench.worker(archive=None)
    bench.put()
    assert [row["verdict"] for row in bench.inspect()] == ["pass"]


def idle(bench: Bench, times: int, and_then: Callable[[], None] = lambda: None) -> None:
    """Runs with an empty queue until the engine has been kept warm this many times."""

    def warmed() -> None:
        if bench.engine.warmed == times:
            bench.inspection.stop()
        and_then()

    bench.engine.on_warm = warmed
    bench.inspection.run()


def test_an_idle_worker_keeps_the_engine_warm_and_the_journal_alive(bench):
    bench.put()
    idle(bench, 1)  # judges the part first
    bench.journal.amend_outcome(1, Outcome.PASSED, 0)
    assert bench.rows()[0]["gate_outcome"] is None
    bench.inspection = bench.worker(None)
    bench.engine.warmed = 0
    started_s = time.monotonic()
    idle(bench, 3)
    assert time.monotonic() - started_s < 1, "the engine would cool down"
    assert bench.rows()[0]["gate_outcome"] == "passed"
    assert bench.journal.beats == 1 + 3


def test_an_idle_worker_survives_what_an_engine_and_a_journal_refuse(bench):
    def refuse() -> None:
        raise InferenceError("device lost")

    bench.put(CROOKED)
    bench.inspect()
    bench.inspection = bench.worker(None)
    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        bench.journal.amend_outcome(1, Outcome.REJECTED, 0)
        with pytest.raises(JournalError):
            bench.journal.flush()
        idle(bench, 3, refuse)
        other.execute("ROLLBACK")
    assert bench.engine.warmed == 3
    assert bench.journal.beats == 3


def test_an_engine_that_fails_while_idle_is_told_of_once_a_second(bench):
    def refuse() -> None:
        raise InferenceError("out of memory")

    with capture_logs() as logs:
        idle(bench, 9, refuse)
    assert len([line for line in logs if "idle" in line["event"]]) == 1


def test_a_journal_that_refuses_is_told_of_once_a_second(bench):
    def second_by_second() -> None:
        bench.clock.now_ns += 250_000_000

    with closing(sqlite3.connect(bench.path, isolation_level=None)) as other, capture_logs() as logs:
        other.execute("BEGIN IMMEDIATE")
        bench.journal.amend_outcome(1, Outcome.REJECTED, 0)
        idle(bench, 9, second_by_second)
        other.execute("ROLLBACK")
    assert len([line for line in logs if "journal" in line["event"]]) == 3


def test_a_worker_that_idles_makes_progress(bench):
    started_s = time.monotonic()
    ages_s = []

    def is_slow() -> None:
        time.sleep(0.03)
        ages_s.append((bench.inspection.progress.age_ms() / 1000, time.monotonic() - started_s))

    idle(bench, 6, is_slow)
    age_s, since_start_s = ages_s[-1]
    assert 0.03 <= age_s < since_start_s - 0.1


def test_a_worker_told_to_stop_finishes_what_is_queued(bench):
    bench.inspection.stop()
    for _ in range(30):
        bench.put()
    assert len(bench.inspect()) == 30
    assert bench.engine.warmed == 0
