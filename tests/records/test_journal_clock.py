"""The wall clock may be set to anything between two calls: nothing is lost, rejected or deleted."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inspectd.gate.outcome import Outcome
from inspectd.part import Part
from inspectd.records.housekeeping import Housekeeper
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reading import open_for_reading
from inspectd.records.summary import summarise
from tests.records.test_journal import FAULT, PASS, STAGES, open_journal, rows

YEAR_S = 365.25 * 86_400
TO_1970_S = -time.time() + 5
STEPS_S = (-3600.0, -2.0, -0.01, 0.01, 2.0, 3600.0, 400 * 86_400.0, 3 * YEAR_S, -3 * YEAR_S, TO_1970_S, -TO_1970_S)

_real_ns = time.time_ns


class Clock:
    """The wall clock of this process, set by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.offset_s = 0.0
        patch.setattr(time, "time_ns", lambda: max(0, _real_ns() + int(self.offset_s * 1e9)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def part(number: int) -> Part:
    now_ns = time.monotonic_ns()
    return Part(number, number, now_ns, time.time_ns(), now_ns + 100_000_000)


def retain(path: Path, **limits: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Housekeeper(JournalConfig(path=path, **limits)).retain(connection)


class JournalStory(RuleBasedStateMachine):
    """A journal that is killed and opened again, with a wall clock that steps at random, against a model of its contents."""

    @initialize()
    def begin(self) -> None:
        from tempfile import mkdtemp

        self.patch = pytest.MonkeyPatch()
        self.clock = Clock(self.patch)
        self.path = Path(mkdtemp()) / "journal.sqlite"
        self.verdicts: dict[int, str] = {}
        self.outcomes: dict[int, str] = {}
        self.unrecorded = self.unseen = 0
        self.steps: set[int] = set()
        self.session = 0
        self.waiting = 0
        self.outages = 0
        self.open()

    def open(self) -> None:
        self.journal: Journal = open_journal(self.path)
        self.session += 1
        self.first = self.journal.next_part_id
        self.next = self.first

    @rule(seconds=st.sampled_from(STEPS_S))
    def set_clock(self, seconds: float) -> None:
        self.clock.offset_s = max(TO_1970_S, min(self.clock.offset_s + seconds, 60 * YEAR_S))

    @rule(is_good=st.booleans())
    def append(self, is_good: bool) -> None:
        self.journal.append(part(self.next), PASS if is_good else FAULT, STAGES)
        self.verdicts[self.next] = "pass" if is_good else "fault"
        self.next += 1
        self.waiting = 0

    @rule()
    def fail_to_append(self) -> None:
        self.journal.unrecorded(part(self.next))
        self.next += 1
        self.unrecorded += 1
        self.waiting += 1

    @precondition(lambda self: any(number >= self.first for number in self.verdicts))
    @rule(data=st.data(), outcome=st.sampled_from((Outcome.PASSED, Outcome.REJECTED)))
    def amend(self, data: st.DataObject, outcome: Outcome) -> None:
        number = data.draw(st.sampled_from([each for each in self.verdicts if each >= self.first]))
        self.journal.amend_outcome(number, outcome, 0)
        self.outcomes[number] = outcome.name.lower()
        if outcome is Outcome.REJECTED and self.verdicts[number] == "pass":
            self.verdicts[number] = "missed"

    @rule(number=st.integers(1, 50), path=st.sampled_from(("\ud800", "x.png")))
    def note_what_no_database_takes(self, number: int, path: str) -> None:
        self.journal.amend_image(number, path)
        self.journal.amend_outcome(0, Outcome.PASSED, 2**70)

    @rule(kind=st.sampled_from(("camera", "output")))
    def outage_begins(self, kind: str) -> None:
        self.journal.outage_begin(kind, "gone")
        self.outages += 1

    @rule(kind=st.sampled_from(("camera", "output")))
    def outage_ends(self, kind: str) -> None:
        self.journal.outage_end(kind)

    @rule()
    def retain(self) -> None:
        self.journal.flush()
        retain(self.path, keep_days=1)

    @rule(is_killed=st.booleans())
    def restart(self, is_killed: bool) -> None:
        self.journal.flush()
        if is_killed:
            self.journal._connection.close()
            self.unseen += 1
        else:
            self.journal.close()
        self.open()
        assert self.first > max(self.verdicts, default=0)

    @invariant()
    def everything_is_there(self) -> None:
        self.journal.flush()
        found = {row["id"]: row for row in rows(self.path)}
        assert {number: row["verdict"] for number, row in found.items()} == self.verdicts
        assert {number: row["gate_outcome"] for number, row in found.items() if row["gate_outcome"]} == self.outcomes
        with closing(open_for_reading(self.path)) as connection:
            summary = summarise(connection, -(2**62), 2**62)
        assert summary.books_balance, summary.accounts
        assert summary.triggers == len(self.verdicts) + self.unrecorded
        kinds = [outage["kind"] for outage in summary.outages]
        assert kinds.count("unseen") == self.unseen
        assert kinds.count("camera") + kinds.count("output") == self.outages

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.patch.undo()


TestJournalStory = JournalStory.TestCase
TestJournalStory.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("seconds", STEPS_S, ids="{:+.0e}s".format)
def test_an_outage_may_end_before_it_began(tmp_path, clock, seconds):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.outage_begin("camera", "gone")
    journal.append(part(1), PASS, STAGES)
    clock.offset_s = seconds
    journal.outage_end("camera")
    for number in range(2, 5):
        journal.append(part(number), PASS, STAGES)
    journal.close()
    (outage,) = rows(path, "SELECT * FROM outages")
    assert 0 <= outage["duration_ns"] < 10e9
    assert len(rows(path)) == 4
    steps = rows(path, "SELECT * FROM clock_steps")
    assert len(steps) == (abs(seconds) > 1)
    for step in steps:
        assert (step["t_to_utc_ns"] - step["t_from_utc_ns"]) / 1e9 == pytest.approx(seconds, abs=0.5)
        assert step["after_part"] == 1


@pytest.mark.parametrize("is_restarted", [True, False])
@pytest.mark.parametrize("seconds", [seconds for seconds in STEPS_S if abs(seconds) > 86_400], ids="{:+.0e}s".format)
def test_no_clock_makes_retention_delete_a_part(tmp_path, clock, seconds, is_restarted):
    """Neither while it is wrong, nor when it is right again."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    for offset_s in (0.0, seconds, 0.0, seconds):
        clock.offset_s = offset_s
        if is_restarted:
            journal.close()
            journal = open_journal(path)
        retain(path, keep_days=1)
        for number in range(journal.next_part_id, journal.next_part_id + 20):
            journal.append(part(number), FAULT, STAGES)
        journal.next_part_id += 20
        retain(path, keep_days=1)
    journal.close()
    assert len(rows(path)) == 80
    retain(path, keep_days=1)
    assert len(rows(path)) == 80


def test_a_report_of_the_last_day_shows_what_a_machine_without_clock_did_not_see(tmp_path, clock):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), FAULT, STAGES)
    journal._connection.close()  # the power is cut
    clock.offset_s = TO_1970_S
    journal = open_journal(path)
    for number in (2, 3):
        journal.append(part(number), FAULT, STAGES)
    clock.offset_s = 0
    journal.append(part(4), FAULT, STAGES)
    journal.close()
    now_ns = time.time_ns()
    with closing(open_for_reading(path)) as connection:
        summary = summarise(connection, now_ns - 86_400 * 10**9, now_ns + 1)
    assert [outage["kind"] for outage in summary.outages] == ["unseen"]
    assert summary.parts == 2
    assert (summary.accounts.doubtful_times, summary.accounts.doubtful_elsewhere) == (2, 2)
    assert len(summary.accounts.clock_steps) == 2


def test_age_is_the_time_that_lines_have_run(tmp_path):
    """Three sessions of ten hours by the monotonic clock: parts of the first one are 20 to 30 hours old."""
    path = tmp_path / "journal.sqlite"
    for session in range(3):
        journal = open_journal(path)
        journal.append(part(session + 1), FAULT, STAGES)
        journal.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "UPDATE sessions SET started_mono_ns = alive_mono_ns - 36000000000000 WHERE id = ?", (session + 1,)
            )
            connection.commit()
    retain(path, keep_days=1)
    assert [row["id"] for row in rows(path)] == [1, 2, 3]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sessions SET started_mono_ns = started_mono_ns - 18000000000000 WHERE id > 1")
        connection.commit()
    retain(path, keep_days=1)
    assert [row["id"] for row in rows(path)] == [2, 3]
    assert [tuple(row)[:3] for row in rows(path, "SELECT * FROM deletions")] == [("keep_days", 1, 1)]
    with closing(open_for_reading(path)) as connection:
        assert summarise(connection, 0, 2**62).books_balance
