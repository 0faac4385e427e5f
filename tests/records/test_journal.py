"""The journal keeps what it has acknowledged, and says what it could not record."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.control.requester import SIGHUP, Requester
from inspectd.errors import JournalError
from inspectd.gate.outcome import Outcome
from inspectd.part import (
    ANOMALY,
    TEXT_FAULTS,
    TEXT_NOT_EXPECTED,
    TEXT_REASONS,
    Anomaly,
    Fault,
    FieldCheck,
    Missed,
    MissedReason,
    Part,
    Pass,
    Scores,
    Uncertain,
    VerdictWords,
    WrongCharacter,
    words,
)
from inspectd.records.housekeeping import Housekeeper
from inspectd.records.journal import Journal, JournalConfig, Stages
from inspectd.records.journal_schema import SCHEMA_VERSION
from inspectd.records.reading import open_for_reading
from inspectd.records.summary import summarise

STAGES = Stages(acquire_us=100, queue_us=50, verdict_us=4000, preprocess_us=200, infer_us=3000)
SCORES = Scores(("bad", "good"), (0.125, 0.9))
PASS, FAULT = Pass(SCORES), Fault(Scores(("bad", "good"), (0.9, 0.125)))
STOPPED = Uncertain(SCORES, Anomaly("print", (120, 80, 24, 16), 1.75))
RIGHT_LOT = FieldCheck(
    "lot", None, ("LOT 7481-83", "LOT 7482-01"), "given, both until 06:02", "LOT 7482-01", 1.5, (9, 8, 90, 20)
)
WRONG_DATE = FieldCheck(
    "date", "text_wrong", ("25.11.2026",), "date", "24.11.2026", -7.5, (30, 40, 9, 20), WrongCharacter(1, "5", "4")
)
UNKNOWN_LOT = FieldCheck("lot", TEXT_NOT_EXPECTED, (), "nobody has given a lot", "", None, (9, 8, 90, 20))
WRONG, NOT_EXPECTED = Fault(SCORES, WRONG_DATE), Uncertain(SCORES, text=UNKNOWN_LOT)
VERDICTS = st.sampled_from(
    [
        PASS,
        FAULT,
        WRONG,
        Uncertain(SCORES),
        STOPPED,
        NOT_EXPECTED,
        Missed(MissedReason.OVERRUN),
        Missed(MissedReason.LOST_FRAME),
    ]
)
_PX = st.integers(0, 20_000)
_SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=2).map(lambda values: Scores(("bad", "good"), tuple(values)))
_ANOMALIES = st.builds(
    Anomaly,
    st.sampled_from(get_args(get_type_hints(Anomaly)["kind"])),
    st.tuples(*[_PX] * 4),
    st.floats(1, exclude_min=True),
)


def _checks(reasons):
    words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    worst = st.none() | st.builds(WrongCharacter, st.integers(0, 99), words, words)
    score = st.none() | st.floats(allow_nan=False)
    allowed = st.lists(words, max_size=2).map(tuple)
    return st.builds(
        FieldCheck, words, st.sampled_from(reasons), allowed, words, words, score, st.tuples(*[_PX] * 4), worst
    )


ANY_VERDICT = st.one_of(
    st.builds(Pass, _SCORES),
    st.builds(Fault, _SCORES, st.none() | _checks(TEXT_FAULTS)),
    st.builds(Uncertain, _SCORES, st.none() | _ANOMALIES),
    st.builds(Uncertain, _SCORES, text=_checks([TEXT_NOT_EXPECTED])),
    st.builds(Missed, st.sampled_from(MissedReason)),
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


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            ANY_VERDICT,
            st.none() | st.integers(0, 10**6),
            st.lists(_checks([None, *TEXT_REASONS]), max_size=4, unique_by=lambda check: check.field),
        ),
        max_size=20,
    )
)
def test_any_verdict_can_be_read_as_it_was_recorded(tmp_path_factory, story):
    path = tmp_path_factory.mktemp("story") / "journal.sqlite"
    journal = open_journal(path)
    for number, (verdict, took_us, texts) in enumerate(story, 1):
        journal.append(part(number), verdict, replace(STAGES, guard_us=took_us, text_us=took_us), texts)
    journal.close()
    for row, (verdict, took_us, texts) in zip(rows(path), story, strict=True):
        assert VerdictWords(row["verdict"], row["reason"], row["class"]) == words(verdict)
        scores = () if isinstance(verdict, Missed) else verdict.scores.values
        assert json.loads(row["scores"] or "[]") == pytest.approx(scores, abs=1e-6)
        assert row["certainty"] == max(scores, default=None)
        assert (row["guard_us"], row["text_us"]) == (took_us, took_us)
        recorded = rows(path, f"SELECT * FROM texts WHERE part = {row['id']} ORDER BY field")
        assert [_check(text) for text in recorded] == sorted(texts, key=lambda check: check.field.encode())
        assert _anomaly(row) == (verdict.anomaly if isinstance(verdict, Uncertain) else None)


def _anomaly(row):
    found = [row[f"anomaly_{column}"] for column in ("kind", "left", "top", "width", "height", "excess")]
    return None if found == [None] * 6 else Anomaly(found[0], tuple(found[1:5]), found[5])


def _check(row):
    reason = None if row["verdict"] == "right" else row["verdict"]
    box = tuple(row[f"box_{side}"] for side in ("left", "top", "width", "height"))
    character = [row["character"], row["character_expected"], row["character_found"]]
    worst = None if character == [None] * 3 else WrongCharacter(*character)
    expected = tuple(json.loads(row["expected"]))
    return FieldCheck(row["field"], reason, expected, row["source"], row["found"], row["score"], box, worst)


def test_the_texts_of_a_part_are_recorded_with_it_or_not_at_all(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), WRONG, STAGES, [RIGHT_LOT, WRONG_DATE])
    with pytest.raises(JournalError):
        journal.append(part(2), WRONG, STAGES, [WRONG_DATE, WRONG_DATE])
    journal.append(part(3), PASS, STAGES, [RIGHT_LOT])
    journal.close()
    assert [(row["id"], row["verdict"], row["reason"]) for row in rows(path)] == [
        (1, "fault", "text_wrong"),
        (3, "pass", None),
    ]
    found = rows(path, "SELECT part, field, verdict, found FROM texts ORDER BY part, field")
    assert [tuple(row) for row in found] == [
        (1, "date", "text_wrong", "24.11.2026"),
        (1, "lot", "right", "LOT 7482-01"),
        (3, "lot", "right", "LOT 7482-01"),
    ]


def test_each_part_names_the_engine_and_the_reader_that_judged_it(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), PASS, STAGES)
    journal.use_engine("toy", "1" * 64, ("labels", "2" * 64))
    journal.append(part(2), PASS, STAGES)
    journal.use_engine("toy", "1" * 64)
    journal.append(part(3), PASS, STAGES)
    journal.close()
    sql = "SELECT e.hash, r.name, r.hash FROM parts JOIN engines AS e ON e.id = engine LEFT JOIN engines AS r ON r.id = reader"
    assert [tuple(row) for row in rows(path, sql)] == [
        ("0" * 64, None, None),
        ("1" * 64, "labels", "2" * 64),
        ("1" * 64, None, None),
    ]


@pytest.mark.parametrize("reason", TEXT_REASONS)
def test_a_text_that_is_not_right_belongs_to_a_rejected_part(tmp_path, reason):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), PASS, STAGES)
    journal.close()
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute(f"UPDATE parts SET reason = '{reason}'")


@pytest.mark.parametrize(
    "change",
    [
        *(f"anomaly_{column} = NULL" for column in ("kind", "left", "top", "width", "height", "excess")),
        "anomaly_kind = 'paper'",
        "verdict = 'pass'",
        "verdict = 'fault'",
        "verdict = 'missed'",
        "verdict = 'missed', reason = 'late'",
        "reason = NULL",
        "reason = 'late'",
        "verdict = 'pass', reason = NULL",
        "anomaly_excess = 9e999 - 9e999",
    ],
)
def test_an_anomaly_that_no_line_finds_is_refused(tmp_path, change):
    """An anomaly belongs to an uncertain part with this reason, and has all its columns."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), STOPPED, STAGES)
    journal.close()
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute(f"UPDATE parts SET {change}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE parts SET {change}")
        connection.commit()
    open_journal(path).close()
    assert list(path.parent.glob("*.damaged-*")), "the next start finds the row and sets the file aside"


@pytest.mark.parametrize("change", ["anomaly_left = 3", "reason = 'anomaly'", "anomaly_kind = 'print'"])
@pytest.mark.parametrize("verdict", [PASS, FAULT, Uncertain(SCORES), Missed(MissedReason.LATE)])
def test_a_part_without_an_anomaly_has_none_of_its_columns(tmp_path, verdict, change):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), verdict, STAGES)
    journal.close()
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute(f"UPDATE parts SET {change}")


def test_a_part_that_the_guard_stopped_stays_so_whatever_the_gate_does(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    for number, outcome in enumerate(Outcome, 1):
        journal.append(part(number), STOPPED, STAGES)
        journal.amend_outcome(number, outcome, 0)
    journal.close()
    assert {(row["verdict"], row["reason"]) for row in rows(path)} == {("uncertain", ANOMALY)}


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
from tests.records.test_journal import FAULT, STAGES, open_journal, part
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
        (lambda path: _make_other(path, 0, 0), "another program"),
        (lambda path: _make_other(path, 0x1A5BEC7D, 99), "has schema 99"),
        (lambda path: _make_other(path, 0x1A5BEC7D, SCHEMA_VERSION + 1), "update inspectd or move the file away"),
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
    """Each part is a row, or is counted in an outage. A part that the gate did not let through does not stay a pass."""
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
    monkeypatch.setattr("inspectd.records.housekeeping._CHECKPOINT_EVERY_S", 0.05)
    path = tmp_path / "journal.sqlite"
    config = JournalConfig(path=path)
    journal = open_journal(path, busy_timeout_ms=1000)
    with Housekeeper(config):
        for number in range(1, 3001):
            journal.append(part(number), FAULT, STAGES)
            time.sleep(0.0005)
        wal_bytes = path.with_name("journal.sqlite-wal").stat().st_size
    journal.close()
    assert wal_bytes < 25e6, "55 MB without checkpoints"
    assert len(rows(path)) == 3000


def test_retention_deletes_the_oldest_but_never_the_last(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    year_ns = 366 * 86_400 * 10**9
    for number in range(1, 451):
        old = part(number)
        journal.append(
            Part(number, number, old.t_trigger_ns, old.t_trigger_utc_ns - year_ns * (number <= 440), old.due_ns),
            WRONG,
            STAGES,
            [RIGHT_LOT, WRONG_DATE],
        )
    keeper = Housekeeper(JournalConfig(path=path, keep_days=30))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        keeper.retain(connection)
    assert [row["id"] for row in rows(path)] == list(range(441, 451))
    assert [row["part"] for row in rows(path, "SELECT DISTINCT part FROM texts")] == list(range(441, 451))
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


@pytest.mark.parametrize(
    "scores",
    [
        Scores(("\ud800", "good"), (0.9, 0.1)),
        Scores(("bad", "good"), (float("nan"), 0.1)),
        Scores(("bad", "good"), ("high", 0.1)),
    ],
)
def test_whatever_the_reason_a_verdict_that_cannot_be_recorded_is_a_journal_error(tmp_path, scores):
    """The stage goes on, and the notes that waited are kept."""
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), FAULT, STAGES)
    journal.amend_outcome(1, Outcome.REJECTED, 7)
    with pytest.raises(JournalError):
        journal.append(part(2), Fault(scores), STAGES)
    journal.unrecorded(part(2))
    journal.append(part(3), PASS, STAGES)
    journal.close()
    assert [(row["id"], row["gate_lateness_us"]) for row in rows(path)] == [(1, 7), (3, None)]
    assert [row["parts"] for row in rows(path, "SELECT * FROM outages")] == [1]


def test_a_note_that_the_database_refuses_holds_up_no_other(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(1), PASS, STAGES)
    journal.amend_image(1, "\ud800.png")
    journal.amend_outcome(1, Outcome.PASSED, 2**70)
    journal.outage_begin("camera", None)  # type: ignore[arg-type]
    journal.amend_recorded(1, 12)
    journal.append(part(2), PASS, STAGES)
    journal.amend_outcome(2, Outcome.PASSED, 3)
    journal.close()
    assert [(row["record_us"], row["gate_lateness_us"]) for row in rows(path)] == [(12, None), (None, 3)]
    assert [row["notes_lost"] for row in rows(path, "SELECT notes_lost FROM sessions")] == [3]


def test_a_session_only_amends_its_own_parts(tmp_path):
    path = tmp_path / "journal.sqlite"
    first = open_journal(path)
    second = open_journal(path)
    first.append(part(1), PASS, STAGES)
    first.amend_outcome(1, Outcome.PASSED, 1)
    first.flush()
    second.append(part(2), FAULT, STAGES)
    second.amend_outcome(1, Outcome.REJECTED, 2)
    second.amend_recorded(1, 99)
    second.amend_image(1, "other.png")
    second.flush()
    (row, _) = rows(path)
    assert (row["verdict"], row["gate_outcome"], row["gate_lateness_us"], row["record_us"], row["image"]) == (
        "pass",
        "passed",
        1,
        None,
        None,
    )


def test_a_reader_that_takes_its_time_costs_no_label(tmp_path, monkeypatch):
    """A backup, or a report whose output nobody reads: the log grows, and is written back when the reader has gone."""
    monkeypatch.setattr("inspectd.records.housekeeping._CHECKPOINT_EVERY_S", 0.02)
    monkeypatch.setattr("inspectd.records.housekeeping._WAL_LIMIT_PAGES", 100)
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path, busy_timeout_ms=20)
    journal.append(part(1), FAULT, STAGES)
    log = path.with_name("journal.sqlite-wal")
    with Housekeeper(JournalConfig(path=path)):
        with closing(open_for_reading(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM parts").fetchone()
            for number in range(2, 302):
                journal.append(part(number), FAULT, STAGES)
                time.sleep(0.002)
            assert log.stat().st_size > 100 * 4096
        grown = log.stat().st_size
        for number in range(302, 402):
            journal.append(part(number), FAULT, STAGES)
            time.sleep(0.01)
        assert log.stat().st_size < grown + 400_000, "900 kB more if it had not begun anew"
    journal.close()
    assert [row["id"] for row in rows(path)] == list(range(1, 402))


def test_housekeeping_survives_any_exception(tmp_path, monkeypatch):
    monkeypatch.setattr("inspectd.records.housekeeping._CHECKPOINT_EVERY_S", 0.02)
    monkeypatch.setattr("inspectd.records.housekeeping._RETENTION_EVERY_S", 0.02)
    rounds = []

    def retain(*_):
        rounds.append(1)
        raise OverflowError("int too large")

    monkeypatch.setattr("inspectd.records.housekeeping.retain", retain)
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    with Housekeeper(JournalConfig(path=path)) as keeper:
        end_s = time.monotonic() + 5
        while len(rounds) < 3 and time.monotonic() < end_s:
            keeper.check()
            time.sleep(0.01)
    journal.close()
    assert len(rounds) >= 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_housekeeping_that_dies_ends_the_line(tmp_path, monkeypatch):
    monkeypatch.setattr("inspectd.records.housekeeping._CHECKPOINT_EVERY_S", 0.02)
    monkeypatch.setattr("inspectd.records.housekeeping.Housekeeper._work", lambda *_: sys.exit())
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    with Housekeeper(JournalConfig(path=path)) as keeper:
        time.sleep(0.3)
        with pytest.raises(JournalError, match="housekeeping thread has died"):
            keeper.check()
    journal.close()


@pytest.mark.parametrize(
    "limits", [{"keep_days": 36_501}, {"keep_days": 0}, {"max_mb": 10**7}, {"max_mb": 1}, {"busy_timeout_ms": 10**6}]
)
def test_limits_that_no_line_needs_are_refused(tmp_path, limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        JournalConfig(path=tmp_path / "journal.sqlite", **limits)


@pytest.mark.parametrize("limits", [{"keep_days": 36_500}, {"max_mb": 1_000_000}])
def test_the_largest_limits_overflow_nothing(tmp_path, limits):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    for number in (1, 2, 3):
        journal.append(part(number), FAULT, STAGES)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Housekeeper(JournalConfig(path=path, **limits)).retain(connection)
    journal.close()
    assert len(rows(path)) == 3


def test_retention_by_size_is_counted_and_no_loss(tmp_path, monkeypatch):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    for number in range(1, 1001):
        journal.append(part(number), FAULT, STAGES)
    sizes = iter([11.0, 11.0, 9.0])
    monkeypatch.setattr("inspectd.records.retention._used_mb", lambda _: next(sizes))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Housekeeper(JournalConfig(path=path, max_mb=10)).retain(connection)
    journal.close()
    assert [row["id"] for row in rows(path)] == list(range(401, 1001))
    with closing(open_for_reading(path)) as connection:
        summary = summarise(connection, 0, 2**62)
    assert summary.books_balance
    assert summary.accounts.deleted == {"max_mb": 400}


def test_a_stop_is_recorded_with_who_acknowledged_it(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.stops_acknowledged(SIGHUP, ["reject_not_driven"])
    journal.stop_begin("reject_not_driven")
    journal.stops_acknowledged(Requester("anna", 1000, 4711), ["reject_not_driven", "too_many_rejects"])
    journal.stop_begin("too_many_rejects")
    journal.stop_begin("reject_unconfirmed")
    journal.stop_begin("reject_not_driven")
    journal.stops_acknowledged(SIGHUP, ["too_many_rejects", "reject_unconfirmed"])
    journal.stop_begin("too_many_rejects")
    journal.close()
    stops = [
        tuple(row)
        for row in rows(path, "SELECT reason, acknowledged_by, acknowledged_uid, acknowledged_pid FROM stops")
    ]
    assert stops == [
        ("reject_not_driven", "anna", 1000, 4711),
        ("too_many_rejects", "SIGHUP", None, None),
        ("reject_unconfirmed", "SIGHUP", None, None),
        ("reject_not_driven", None, None, None),
        ("too_many_rejects", None, None, None),
    ]
    lasted = [row[0] for row in rows(path, "SELECT duration_ns FROM stops ORDER BY id")]
    assert all(0 <= ns < 10**9 for ns in lasted[:3])
    assert lasted[3:] == [None, None]


@pytest.mark.parametrize("cleanly", [True, False])
def test_a_stop_goes_on_in_the_next_sessions_until_it_is_acknowledged(tmp_path, cleanly):
    path = tmp_path / "journal.sqlite"
    open_stops = []
    for session in range(5):
        journal = open_journal(path)
        open_stops.append(sorted(journal.open_stops()))
        if session == 0:
            journal.stop_begin("too_many_rejects")
            journal.stop_begin("reject_not_driven")
            journal.stops_acknowledged(SIGHUP, ["too_many_rejects"])
            journal.stop_begin("too_many_rejects")
        if session == 2:
            journal.stops_acknowledged(SIGHUP, ["too_many_rejects"])
        if session == 3:
            journal.stops_acknowledged(SIGHUP, ["reject_not_driven"])
        journal.flush()
        if cleanly:
            journal.close()
        else:
            journal._connection.close()
        with (
            closing(sqlite3.connect(path)) as connection,
            connection,
        ):  # as after a reboot: the monotonic clock begins anew
            connection.execute("UPDATE stops SET t_mono_ns = ? WHERE acknowledged_utc_ns IS NULL", (10**18,))
    both = ["reject_not_driven", "too_many_rejects"]
    assert open_stops == [[], both, both, ["reject_not_driven"], []]
    stops = rows(path, "SELECT reason, session, acknowledged_by, duration_ns FROM stops ORDER BY id")
    assert [(row["reason"], row["session"], row["acknowledged_by"]) for row in stops] == [
        ("too_many_rejects", 1, "SIGHUP"),
        ("reject_not_driven", 4, "SIGHUP"),
        ("too_many_rejects", 3, "SIGHUP"),
    ], "each is one row"
    assert all(0 < row["duration_ns"] < 60 * 10**9 for row in stops)
