"""The journal keeps what it acknowledged, says what it could not, and gives way to nobody silently."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.errors import JournalError
from inspectd.gate.messages import Outcome
from inspectd.housekeeping import Housekeeper
from inspectd.journal import Journal, JournalConfig, Stages, open_for_reading
from inspectd.part import Fault, Missed, MissedReason, Part, Pass, Scores, Uncertain
from inspectd.report import summarise

STAGES = Stages(acquire_us=100, queue_us=50, verdict_us=4000, preprocess_us=200, infer_us=3000)
SCORES = Scores(("bad", "good"), (0.125, 0.9))
PASS, FAULT = Pass(SCORES), Fault(Scores(("bad", "good"), (0.9, 0.125)))
VERDICTS = st.sampled_from(
    [PASS, FAULT, Uncertain(SCORES), Missed(MissedReason.OVERRUN), Missed(MissedReason.LOST_FRAME)]
)


def open_journal(path, **settings) -> Journal:
    journal = Journal.open(JournalConfig(path=path, **settings))
    journal.use_engine("toy", "0" * 64)
    return journal


def part(number: int) -> Part:
    now_ns = time.monotonic_ns()
    return Part(number, number, now_ns, time.time_ns(), now_ns + 100_000_000)


def rows(path, sql="SELECT * FROM parts ORDER BY id"):
    with closing(open_for_reading(path)) as connection:
        return connection.execute(sql).fetchall()


def test_a_part_is_recorded_with_all_that_is_known_of_it(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), PASS, STAGES)
    journal.amend_recorded(1, 70)
    journal.amend_outcome(1, Outcome.PASSED, -12)
    journal.amend_image(1, "2026/1.png")
    journal.close()
    (row,) = rows(path)
    known = {key: row[key] for key in ("verdict", "class", "certainty", "scores", "infer_us", "record_us", "image")}
    assert known == {
        "verdict": "pass",
        "class": "good",
        "certainty": 0.9,
        "scores": "[0.125, 0.9]",
        "infer_us": 3000,
        "record_us": 70,
        "image": "2026/1.png",
    }
    assert (row["gate_outcome"], row["gate_lateness_us"], row["reason"]) == ("passed", -12, None)


def test_a_pass_that_the_gate_did_not_let_through_is_recorded_as_late(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    for number, verdict in enumerate((PASS, FAULT), 1):
        journal.append(part(number), verdict, STAGES)
        journal.amend_outcome(number, Outcome.REJECTED, 0)
    journal.close()
    assert [(row["verdict"], row["reason"]) for row in rows(path)] == [("missed", "late"), ("fault", None)]


def test_an_outcome_that_comes_before_its_record_is_not_lost(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), FAULT, STAGES)
    journal.amend_outcome(2, Outcome.REJECTED, 5)
    journal.flush()
    journal.append(part(2), FAULT, STAGES)
    journal.close()
    assert [row["gate_outcome"] for row in rows(path)] == [None, "rejected"]


WRITER = """
import sys, structlog
from pathlib import Path
from tests.test_journal import FAULT, STAGES, open_journal, part
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
journal = open_journal(Path(sys.argv[1]))
number = journal.next_part_id
while True:
    journal.append(part(number), FAULT, STAGES)
    print(number, flush=True)
    number += 1
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    path = tmp_path / "journal.sqlite"
    last = 0
    for delay_s in (0.05, 0.2, 0.01):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        first = int(writer.stdout.readline())
        assert first == last + 1
        time.sleep(delay_s)
        writer.send_signal(signal.SIGKILL)
        acknowledged = int((["0", *writer.stdout.read().split()])[-1]) or first
        writer.wait()
        found = [row["id"] for row in rows(path)]
        assert found == list(range(1, len(found) + 1))
        assert found[-1] in (acknowledged, acknowledged + 1)
        last = found[-1]
    open_journal(path).close()
    assert [row["kind"] for row in rows(path, "SELECT kind FROM outages")] == ["unseen"] * 3


def test_a_clean_end_leaves_no_unseen_interval(tmp_path):
    path = tmp_path / "journal.sqlite"
    open_journal(path).close()
    open_journal(path).close()
    assert rows(path, "SELECT * FROM outages") == []


def test_locked_by_another_process_it_fails_in_time_and_counts_what_it_could_not_record(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path, busy_timeout_ms=20)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in (1, 2, 3):
        start_s = time.monotonic()
        with pytest.raises(JournalError, match="locked"):
            journal.append(part(number), PASS, STAGES)
        assert time.monotonic() - start_s < 0.5
        journal.unrecorded(part(number))
    other.execute("ROLLBACK")
    other.close()
    journal.append(part(4), PASS, STAGES)
    journal.close()
    assert [row["id"] for row in rows(path)] == [4]
    assert [(row["kind"], row["parts"]) for row in rows(path, "SELECT * FROM outages")] == [("record_error", 3)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 100), "not a database"),
        (lambda path: _make_other(path, 0, 0), "something else"),
        (lambda path: _make_other(path, 0x1A5BEC7D, 99), "has schema 99"),
        (lambda path: path.mkdir(), "can't be opened|usable"),
    ],
)
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, make, words):
    path = tmp_path / "journal.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=words):
        open_journal(path)
    assert before is None or path.read_bytes()[100:] == before[100:]


def _make_other(path, application, version):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"CREATE TABLE recipes (name); PRAGMA application_id = {application}; PRAGMA user_version = {version};"
        )


@settings(max_examples=40)
@given(st.lists(st.tuples(VERDICTS, st.sampled_from([*Outcome, None]), st.booleans()), max_size=40))
def test_whatever_happens_the_books_of_the_journal_balance(tmp_path_factory, story):
    """Each part is a row or counted in an outage; nothing the gate refused stays a pass."""
    path = tmp_path_factory.mktemp("story") / "journal.sqlite"
    journal = open_journal(path)
    for number, (verdict, outcome, is_recorded) in enumerate(story, 1):
        if is_recorded:
            journal.append(part(number), verdict, STAGES)
        else:
            journal.unrecorded(part(number))
        if outcome is not None:
            journal.amend_outcome(number, outcome, 0)
    journal.close()
    with closing(open_for_reading(path)) as connection:
        summary = summarise(connection, 0, time.time_ns() + 1)
    assert summary.books_balance
    assert summary.triggers == len(story)
    through = [(verdict, outcome) for verdict, outcome, is_recorded in story if is_recorded and verdict is PASS]
    assert summary.passed == sum(outcome in (None, Outcome.PASSED) for _, outcome in through)


def test_checkpoints_keep_the_log_short_while_the_line_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("inspectd.housekeeping._CHECKPOINT_EVERY_S", 0.05)
    path = tmp_path / "journal.sqlite"
    config = JournalConfig(path=path)
    journal = open_journal(path, busy_timeout_ms=1000)
    with Housekeeper(config):
        for number in range(1, 3001):
            journal.append(part(number), FAULT, STAGES)
            time.sleep(0.0005)
        wal_bytes = path.with_name("journal.sqlite-wal").stat().st_size
    journal.close()
    assert wal_bytes < 12e6, "27 MB without checkpoints"
    assert len(rows(path)) == 3000


def test_retention_deletes_the_oldest_but_never_the_last(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    year_ns = 366 * 86_400 * 10**9
    for number in range(1, 451):
        old = part(number)
        journal.append(
            Part(number, number, old.t_trigger_ns, old.t_trigger_utc_ns - year_ns * (number <= 440), old.due_ns),
            FAULT,
            STAGES,
        )
    keeper = Housekeeper(JournalConfig(path=path, keep_days=30))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        keeper.retain(connection)
    assert [row["id"] for row in rows(path)] == list(range(441, 451))
    journal.close()
    again = open_journal(path)
    assert again.next_part_id == 451
    again.close()


def test_reading_does_not_hold_up_writing(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path, busy_timeout_ms=0)
    journal.append(part(1), FAULT, STAGES)
    with closing(open_for_reading(path)) as reader:
        cursor = reader.execute("SELECT * FROM parts")
        cursor.fetchone()
        for number in range(2, 50):
            journal.append(part(number), FAULT, STAGES)
    journal.close()
    assert len(rows(path)) == 49
