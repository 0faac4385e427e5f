"""The journal's file: damaged, replaced, owned by another process, or of an earlier version."""

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from inspectd.cli import main
from inspectd.commands.check import _records
from inspectd.control.requester import Requester
from inspectd.errors import InUseError, JournalError
from inspectd.gate.outcome import Outcome
from inspectd.records.feed import Feed
from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.journal_file import damage
from inspectd.records.journal_schema import SCHEMA_VERSION
from inspectd.records.reading import open_for_reading
from inspectd.records.summary import summarise
from tests.records.test_journal import (
    FAULT,
    NOT_EXPECTED,
    PASS,
    STAGES,
    STOPPED,
    UNKNOWN_LOT,
    WRONG,
    WRONG_DATE,
    open_journal,
    part,
    rows,
)

VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6 = (
    Path(__file__).with_name(f"journal_version_{version}.sql").read_text() for version in (1, 2, 3, 4, 5, 6)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records" / "journal.sqlite"


def fill(path: Path, count: int, **settings: object) -> Journal:
    journal = open_journal(path, **settings)
    for number in range(journal.next_part_id, journal.next_part_id + count):
        journal.append(part(number), FAULT, STAGES)
        journal.amend_outcome(number, Outcome.REJECTED, 0)
    return journal


def whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def _replace_by_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def _replace_folder(path: Path) -> None:
    _move_folder(path)
    shutil.copytree(path.parent.with_name("elsewhere"), path.parent)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.with_name("journal.sqlite-wal").unlink(),
        lambda path: path.with_name("journal.sqlite-shm").unlink(),
        lambda path: path.rename(path.with_name("old.sqlite")),
        lambda path: os.truncate(path, 0),
        _move_folder,
        _replace_by_copy,
        _replace_folder,
    ],
)
def test_a_journal_that_is_gone_records_nothing_any_more(path, harm):
    """Noticed within half a second, with or without another part. The end is then not clean."""
    journal = fill(path, 5)
    harm(path)
    time.sleep(0.5)
    for number in (6, 7):
        with pytest.raises(JournalError, match="while the line runs"):
            journal.append(part(number), PASS, STAGES)
    with pytest.raises(JournalError, match="while the line runs"):
        journal.check()
    with pytest.raises(JournalError, match="while the line runs"):
        journal.close()


def test_a_clean_end_looks_once_more(path):
    journal = fill(path, 5)
    path.unlink()
    with pytest.raises(JournalError, match="deleted or moved"):
        journal.close()


def test_a_line_without_parts_notices_too(path):
    journal = fill(path, 5)
    path.unlink()
    begin_s = time.monotonic()
    with pytest.raises(JournalError, match="deleted or moved"):
        while time.monotonic() - begin_s < 2:
            journal.note_alive()
            journal.flush()
            time.sleep(0.01)


@pytest.mark.parametrize("how", ["itself", "symbolic", "hard"])
def test_a_journal_has_one_owner_under_whatever_name(path, how):
    first = Journal.open(JournalConfig(path=path), exclusive=True)
    other = path if how == "itself" else path.parent.parent / "other.sqlite"
    if how == "symbolic":
        other.symlink_to(path)
    elif how == "hard":
        os.link(path, other)
    with pytest.raises(InUseError, match=f"process {os.getpid()}"):
        Journal.open(JournalConfig(path=other), exclusive=True)
    first.close()
    if how != "hard":  # a new file would have another log
        Journal.open(JournalConfig(path=other), exclusive=True).close()


def test_a_refused_start_gives_the_journal_free(path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    for _ in range(2):
        with pytest.raises(JournalError, match="not a database"):
            Journal.open(JournalConfig(path=path), exclusive=True)


def _check_after_damage(path: Path, recorded: int) -> None:
    """The line starts, either with the old rows or with a new journal. The report then names the old file, which is kept."""
    try:
        journal = open_journal(path)
    except JournalError:  # refused with a reason: nobody can say any more whose file it is, or which version
        return
    journal.append(part(journal.next_part_id), PASS, STAGES)
    journal.close()
    assert whole(path)
    aside = sorted(path.parent.glob("*.damaged-*[0-9]"))
    if aside:
        with closing(open_for_reading(path)) as connection:
            summary = summarise(connection, 0, 2**62)
        assert [str(outage["detail"]).endswith(str(aside[0])) for outage in summary.outages] == [True]
        assert summary.books_balance
    else:
        assert len(rows(path)) == recorded + 1


def test_flipped_bits_never_go_unnoticed_nor_stop_the_line(tmp_path):
    """Only one kind of damage is not found, which no check of SQLite can find: another number in an intact row."""
    pattern = tmp_path / "pattern" / "journal.sqlite"
    fill(pattern, 400).close()
    content, moments = pattern.read_bytes(), random.Random(18)
    set_aside = 0
    for number in range(45):
        path = tmp_path / str(number) / "journal.sqlite"
        path.parent.mkdir()
        damaged = bytearray(content)
        for _ in range(moments.choice((1, 3, 10))):
            where = moments.randrange(*((0, 100) if number % 3 == 0 else (100, len(content))))
            damaged[where] ^= 1 << moments.randrange(8)
        path.write_bytes(damaged)
        _check_after_damage(path, 400)
        set_aside += len(list(path.parent.glob("*.damaged-*[0-9]")))
        code = main(["report", "--journal", str(path), "--json"])
        assert code in (0, 1, 74)
    assert set_aside > 10


@pytest.mark.parametrize("cut", [1, 100, 4096, 5000, 40_000])
def test_a_file_cut_short(path, cut):
    fill(path, 400).close()
    os.truncate(path, cut)
    _check_after_damage(path, 400)
    assert list(path.parent.glob("*.damaged-*"))


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_damaged_log_costs_rows_but_is_no_end(path, is_cut):
    """The rows that were lost with the log are inside the unseen interval."""
    journal = fill(path, 200)
    log = path.with_name("journal.sqlite-wal")
    kept = path.read_bytes(), log.read_bytes()
    journal.close()
    log_bytes = bytearray(kept[1])
    if is_cut:
        del log_bytes[len(log_bytes) // 2 :]
    else:
        log_bytes[len(log_bytes) // 2] ^= 0xFF
    path.write_bytes(kept[0])
    log.write_bytes(log_bytes)
    again = open_journal(path)
    again.append(part(again.next_part_id), FAULT, STAGES)
    again.close()
    assert whole(path)
    assert [row["kind"] for row in rows(path, "SELECT kind FROM outages")] == ["unseen"]


@pytest.mark.parametrize("leaves_empty_file", [True, False])
def test_a_log_without_its_file_is_kept(path, leaves_empty_file):
    """SQLite would delete the log, with every row that is not yet in the file."""
    journal = fill(path, 200)
    log = path.with_name("journal.sqlite-wal")
    kept = log.read_bytes()
    journal.close()
    path.unlink()
    log.write_bytes(kept)
    if leaves_empty_file:
        path.touch()
    open_journal(path).close()
    (aside,) = path.parent.glob("*.damaged-*-wal")
    assert aside.read_bytes() == kept
    assert "only its log" in rows(path, "SELECT detail FROM outages")[0]["detail"]


def test_part_numbers_go_on_after_damage(path):
    fill(path, 400).close()
    content = bytearray(path.read_bytes())
    content[20_000:20_400] = bytes(400)
    path.write_bytes(content)
    journal = open_journal(path)
    assert journal.next_part_id == 401
    journal.close()
    again = open_journal(path)
    assert again.next_part_id == 401
    again.close()


@pytest.mark.parametrize("dies", ["before the log is moved", "before a new one begins"])
def test_part_numbers_go_on_after_damage_though_the_first_start_after_it_fails(path, dies, monkeypatch):
    fill(path, 400).close()
    break_a_page(path)
    with monkeypatch.context() as failing:
        if dies == "before a new one begins":
            failing.setattr("inspectd.records.journal.begin_session", full_disk)
            with pytest.raises(JournalError, match="disk is full"):
                open_journal(path)
        else:
            path.rename(path.with_name("journal.sqlite.damaged-20260101T000000"))
            path.with_name("journal.sqlite-wal").write_bytes(bytes(100))
    journal = open_journal(path)
    assert journal.next_part_id == 401
    assert "damaged-2" in rows(path, "SELECT detail FROM outages")[0]["detail"]
    journal.close()


def break_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 3 * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)


def full_disk(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_images_of_the_archive_may_have_higher_numbers_than_what_a_damaged_journal_shows(path):
    fill(path, 400).close()
    break_a_page(path)
    journal = Journal.open(JournalConfig(path=path), first_part_id=lambda: 500)
    assert journal.next_part_id == 500
    journal.close()


def test_where_no_number_can_be_read_the_archive_says_what_comes_next(path):
    fill(path, 5).close()
    path.write_bytes(path.read_bytes()[:100] + bytes(20_000))
    journal = Journal.open(JournalConfig(path=path), first_part_id=lambda: 77)
    assert journal.next_part_id == 77
    journal.close()


def test_two_damages_in_a_second_are_both_kept(path):
    for _ in range(3):
        fill(path, 5).close()
        path.write_bytes(path.read_bytes()[:100] + bytes(20_000))
    open_journal(path).close()
    assert len(list(path.parent.glob("*.damaged-*"))) >= 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is a folder or a device"),
        (lambda path: path.symlink_to(path.parent / "nowhere" / "j.sqlite"), "check that its disk is mounted"),
        (lambda path: path.symlink_to(path), "can't be opened"),
    ],
)
def test_what_can_be_no_journal_is_refused_in_words(path, make, words):
    path.parent.mkdir()
    make(path)
    with pytest.raises(JournalError, match=words):
        Journal.open(JournalConfig(path=path), exclusive=True)
    assert main(["report", "--journal", str(path)]) == 74


def test_a_link_to_a_file_that_is_yet_to_come(path):
    path.parent.mkdir()
    (path.parent / "there").mkdir()
    path.symlink_to(path.parent / "there" / "j.sqlite")
    fill(path, 3).close()
    assert len(rows(path.parent / "there" / "j.sqlite")) == 3


@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_the_report_of_a_damaged_journal_is_a_sentence(path, byte, capsys):
    fill(path, 400).close()
    content = bytearray(path.read_bytes())
    content[4096:] = bytes([byte]) * len(content[4096:])
    path.write_bytes(content)
    for form in ([], ["--json"], ["--csv"]):
        assert main(["report", "--journal", str(path), *form]) == 74
        assert str(path) in capsys.readouterr().err


def _make_version_1(path: Path) -> None:
    """Two sessions, the first of them killed; parts 3 and 4 could not be recorded; the clock was set in the second."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
        connection.executemany(
            "INSERT INTO sessions VALUES (?, ?, ?, ?)", [(1, 10**18, 10**18 + 5, 10**18 + 5), (2, 2, 3, None)]
        )
        connection.execute("INSERT INTO engines VALUES (1, 'toy', 'ab')")
        for number, session, t_utc_ns in ((1, 1, 10**18), (2, 1, 10**18), (5, 1, 10**18), (6, 2, 7), (7, 2, 10**18)):
            connection.execute(
                "INSERT INTO parts (id, session, engine, frame_number, t_utc_ns, t_mono_ns, verdict, class, certainty, "
                "acquire_us, queue_us, verdict_us, gate_outcome) VALUES (?, ?, 1, 1, ?, ?, 'pass', 'good', 1, 1, 1, 1, 'passed')",
                (number, session, t_utc_ns, number),
            )
        connection.execute("INSERT INTO outages VALUES (1, 1, 'record_error', ?, ?, 2, 'two')", (10**18, 10**18 + 1))
        connection.execute("INSERT INTO outages VALUES (2, 2, 'unseen', 1, 2, 0, 'killed')")
        connection.commit()


def test_a_journal_of_version_1_is_brought_up_to_date(path):
    _make_version_1(path)
    before = [
        dict(zip(("id", "t", "verdict"), row, strict=True))
        for row in sqlite3.connect(path).execute("SELECT id, t_utc_ns, verdict FROM parts")
    ]
    with pytest.raises(JournalError, match="earlier version of inspectd"):
        open_for_reading(path)
    journal = open_journal(path)
    assert journal.next_part_id == 8
    journal.append(part(8), PASS, STAGES)
    journal.close()
    after = [dict(row) for row in rows(path, "SELECT id, t_utc_ns AS t, verdict FROM parts WHERE id < 8")]
    assert after == before
    assert [row["kind"] for row in rows(path, "SELECT kind FROM outages ORDER BY id")] == [
        "record_error",
        "unseen",
        "unseen",
    ]
    sessions = rows(path, "SELECT id, first_part, last_part, clock_steps > 0 AS set_ FROM sessions ORDER BY id")
    assert [tuple(row) for row in sessions[:2]] == [(1, 1, 5, 0), (2, 6, 7, 1)]
    with closing(open_for_reading(path)) as connection:
        assert summarise(connection, 0, 2**62).books_balance


def _make_version_2(path: Path) -> None:
    """What version 2 wrote: two sessions, the first killed; part 1 deleted by retention; parts 7 and 8 not recorded."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_2)


def test_a_journal_of_version_2_is_brought_up_to_date(path, capsys):
    """Every value stays, and the new rules hold for old and new rows at once."""
    _make_version_2(path)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM parts ORDER BY id").fetchall()
    assert main(["report", "--journal", str(path)]) == 74
    assert "schema 2" in capsys.readouterr().err
    assert _records(path).ok
    journal = open_journal(path)
    assert journal.next_part_id == 11
    journal.append(part(11), STOPPED, STAGES)
    journal.amend_outcome(11, Outcome.REJECTED, 0)
    journal.close()
    after = [tuple(row) for row in rows(path)]
    assert [row[: len(before[0])] for row in after[:-1]] == before
    assert all(value is None for row in after[:-1] for value in row[len(before[0]) :])
    assert rows(path)[-1]["anomaly_kind"] == "print"
    assert whole(path)
    with closing(open_for_reading(path)) as connection:
        summary = summarise(connection, 0, 2**62)
    assert (summary.parts, summary.uncertain, summary.anomalies, summary.books_balance) == (8, 3, {"print": 1}, True)
    assert main(["report", "--journal", str(path), "--last", "36500d"]) == 0


def test_a_journal_that_is_being_read_is_brought_up_to_date_too(path):
    """The reader sees the old tables to its end, and the new ones after that."""
    _make_version_2(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = WAL")
        reader.execute("BEGIN")
        columns = len(reader.execute("SELECT * FROM parts").description)
        journal = open_journal(path)
        journal.append(part(11), STOPPED, STAGES)
        assert len(reader.execute("SELECT * FROM parts").fetchall()) == 7
        reader.execute("ROLLBACK")
        cursor = reader.execute("SELECT * FROM parts")
        assert (len(cursor.description), len(cursor.fetchall())) == (columns + 12, 8)
        journal.close()


def _make_version_3(path: Path) -> None:
    """What version 3 wrote into a journal of version 2: two parts, the first with an anomaly; an outage of the output."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_3)


def test_a_journal_of_version_3_is_brought_up_to_date(path, capsys):
    _make_version_3(path)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM parts ORDER BY id").fetchall()
    assert main(["report", "--journal", str(path)]) == 74
    assert "schema 3" in capsys.readouterr().err
    journal = open_journal(path)
    journal.stop_begin("too_many_rejects")
    journal.stops_acknowledged(Requester("anna", 1000, 4711), ["too_many_rejects"])
    journal.close()
    assert _as_before(path, before) == before
    assert [row["acknowledged_by"] for row in rows(path, "SELECT * FROM stops")] == ["anna"]
    assert whole(path)
    with closing(open_for_reading(path)) as connection:
        assert summarise(connection, 0, 2**62).books_balance


def _make_version_4(path: Path) -> None:
    """What version 4 wrote into a journal of version 3: a pass, a fault, an anomaly, and two stops."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_4)


def test_a_journal_of_version_4_is_brought_up_to_date(path, capsys):
    _make_version_4(path)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM parts ORDER BY id").fetchall()
    assert main(["report", "--journal", str(path)]) == 74
    assert "schema 4" in capsys.readouterr().err
    journal = open_journal(path)
    journal.append(part(16), WRONG, STAGES, [WRONG_DATE])
    journal.append(part(17), NOT_EXPECTED, STAGES, [UNKNOWN_LOT])
    journal.close()
    assert _as_before(path, before) == before
    assert [row["reason"] for row in rows(path)][-2:] == ["text_wrong", "text_not_expected"]
    assert [row["part"] for row in rows(path, "SELECT * FROM texts")] == [16, 17]
    assert len(rows(path, "SELECT * FROM stops")) == 2
    assert whole(path)
    with closing(open_for_reading(path)) as connection:
        assert summarise(connection, 0, 2**62).books_balance


def _make_version_5(path: Path) -> None:
    """What version 5 wrote into a journal of version 4: three parts with texts, a stop, and an outage of the camera."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_5)


def test_a_journal_of_version_5_is_brought_up_to_date(path, capsys):
    """Its rows have no change number until they are amended."""
    _make_version_5(path)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM parts ORDER BY id").fetchall()
        texts = connection.execute("SELECT * FROM texts").fetchall()
    assert main(["report", "--journal", str(path)]) == 74
    assert "schema 5" in capsys.readouterr().err
    journal = open_journal(path)
    journal.append(part(19), WRONG, STAGES, [WRONG_DATE])
    journal.close()
    assert _as_before(path, before) == before
    assert [tuple(row) for row in rows(path, "SELECT * FROM texts ORDER BY part, field")][:-1] == texts
    with closing(Feed(path)) as feed:
        assert [change.row["id"] for change in feed.after(0) if change.kind == "part"] == [19]
    assert whole(path)
    with closing(open_for_reading(path)) as connection:
        assert summarise(connection, 0, 2**62).books_balance


def _make_version_6(path: Path) -> None:
    """What version 6 wrote into a journal of version 5: a pass, a fault with an image, a wrong text, and a stop."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_6)


def test_a_journal_of_version_6_is_brought_up_to_date(path, capsys):
    """Its parts have no brightness. Nothing changes for who follows it: only the new part has a new number."""
    _make_version_6(path)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM parts ORDER BY id").fetchall()
    assert main(["report", "--journal", str(path)]) == 74
    assert "schema 6" in capsys.readouterr().err
    journal = open_journal(path)
    journal.append(part(22), PASS, STAGES, quality=(0.42, 1.75))
    journal.close()
    assert _as_before(path, before) == before
    assert [tuple(row)[-2:] for row in rows(path)][-2:] == [(None, None), (0.42, 1.75)]
    with closing(Feed(path)) as feed:
        assert [change.row["id"] for change in feed.after(10) if change.kind == "part"] == [22]
    assert whole(path)


def _as_before(path: Path, before: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The rows and columns that were there before."""
    return [tuple(row)[: len(before[0])] for row in rows(path)][: len(before)]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 0, -1, 7 + (1 << 24)])
def test_a_journal_whose_version_was_changed_is_damaged(path, version):
    fill(path, 3).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    journal = open_journal(path)
    assert journal.next_part_id == 4
    journal.close()
    assert len(list(path.parent.glob("*.damaged-*[0-9]"))) == 1


@pytest.mark.parametrize(
    ("text", "bit"),
    [
        (b"ON stops WHEN new", 0x80),  # a trigger
        (b"REFERENCES sessions", 0x01),
        (b"'pass', 'fault", 0x01),  # a check of `parts`
        (b"'right', 'text", 0x01),  # a check of `texts`
        (b"DEFAULT 0", 0x80),
    ],
)
def test_a_flipped_bit_in_the_text_of_the_tables_is_damage(path, text, bit):
    fill(path, 3).close()
    data = bytearray(path.read_bytes())
    data[data.index(text) + len(text) - 1] ^= bit
    path.write_bytes(data)
    journal = open_journal(path)
    assert journal.next_part_id == 4
    journal.close()
    assert len(list(path.parent.glob("*.damaged-*[0-9]"))) == 1


def test_a_journal_that_no_longer_numbers_its_changes_is_damaged(path):
    fill(path, 3).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER parts_amended")
    journal = open_journal(path)
    assert journal.next_part_id == 4
    journal.close()
    assert len(list(path.parent.glob("*.damaged-*[0-9]"))) == 1


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE parts SET id = 9223372036854775807 WHERE id = 3",
        "UPDATE parts SET change = 9223372036854775807 WHERE id = 3",
        "UPDATE sessions SET last_part = 9223372036854775807",
        "INSERT INTO outages VALUES (1, 1, 'camera', 1, 2, 0, '', 1, 1, 1, 9223372036854775807, 1)",
        "UPDATE feed SET deleted = 9223372036854775807",
        "DELETE FROM feed",
    ],
)
def test_a_number_that_no_line_reaches_is_damage(path, harm):
    fill(path, 3).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(harm)
    journal = open_journal(path)
    assert journal.next_part_id in (3, 4)
    journal.append(part(journal.next_part_id), PASS, STAGES)
    journal.close()
    assert Feed(path).newest() > 0
    assert len(list(path.parent.glob("*.damaged-*[0-9]"))) == 1


def test_part_numbers_go_on_though_the_sessions_are_gone(path):
    fill(path, 3).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM sessions")
    journal = open_journal(path)
    assert journal.next_part_id == 4
    journal.append(part(4), PASS, STAGES)
    journal.close()
    assert len(rows(path)) == 4


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_a_migrated_journal_has_the_tables_of_a_new_one(path, tmp_path, version):
    make = (_make_version_1, _make_version_2, _make_version_3, _make_version_4, _make_version_5, _make_version_6)
    make[version - 1](path)
    open_journal(path).close()
    new = tmp_path / "new.sqlite"
    open_journal(new).close()

    def columns(file: Path) -> dict[str, list[tuple[object, ...]]]:
        tables = [
            row[0] for row in rows(file, "SELECT name FROM sqlite_master WHERE type IN ('table', 'index') ORDER BY 1")
        ]
        return {name: [tuple(row)[1:] for row in rows(file, f"PRAGMA table_info({name})")] for name in tables}

    assert columns(path) == columns(new)
    text = "SELECT sql FROM sqlite_master WHERE name = 'parts'"
    assert rows(path, text)[0][0] == rows(new, text)[0][0]
    assert rows(path, "PRAGMA user_version")[0][0] == SCHEMA_VERSION
    assert damage(path) is None


def test_damage_that_shows_while_the_line_runs_ends_it(path):
    """The next start finds it and sets the file aside."""
    journal = fill(path, 400)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:  # so that the line's cache is no longer good
        other.execute("PRAGMA user_version = 2")
    with pytest.raises(JournalError):
        journal.append(part(401), PASS, STAGES)
    with pytest.raises(JournalError, match="damaged"):
        journal.check()


def test_check_says_whose_the_journal_is_and_whether_it_is_whole(path):
    assert _records(path).ok
    journal = Journal.open(JournalConfig(path=path), exclusive=True)
    found = _records(path)
    assert found.ok
    assert f"in use by the running line (process {os.getpid()})" in found.detail
    journal.use_engine("toy", "0" * 64)
    journal.append(part(1), PASS, STAGES)
    journal.close()
    assert "not damaged" in _records(path).detail
    path.write_bytes(path.read_bytes()[:100] + bytes(20_000))
    assert _records(path).ok is None
    path.write_bytes(b"no database at all" * 100)
    assert _records(path).ok is False
