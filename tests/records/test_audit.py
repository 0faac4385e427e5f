"""The audit trail: what was written stays, and nothing can be changed without being found."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from inspectd.cli import main
from inspectd.errors import AuditError
from inspectd.records.audit import AuditTrail, verify

ROUNDS = int(os.environ.get("INSPECTD_ALTERATIONS", "400"))
"""10 000 take 12 s."""
Rows = list[list[Any]]
NUMBER, HASH = 0, 6
ODD = "<script>alert(1)</script>\x1b[31m'; DROP TABLE entries; --\N{BULLET}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.sqlite"
    write(path, 12)
    return path


def write(path: Path, count: int) -> None:
    trail = AuditTrail(path)
    for number in range(count):
        detail = {"part": number, "says": "fail_label_half_printed", "share": 0.5, "note": None}
        trail.append(("anna", "ben")[number % 2], ("review", "acknowledge")[number % 2], detail, "10.0.0.7")


def rows_of(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        return [list(row) for row in connection.execute("SELECT * FROM entries ORDER BY number")]


def rewrite(path: Path, rows: Rows) -> None:
    """As somebody does who may write the file: the table and its triggers look as before, but a column takes any type."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        schema = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
        connection.executescript(
            "BEGIN; DROP TABLE entries; CREATE TABLE entries (number INTEGER PRIMARY KEY, t, who, address, action, detail, hash)"
        )
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        for name, sql in schema:
            if name != "entries":
                connection.execute(sql)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'entries'", (dict(schema)["entries"],))
        connection.execute("COMMIT")


def change_a_value(rows: Rows, rng: random.Random) -> None:
    row, column = rng.choice(rows), rng.randrange(1, 7)
    old = row[column]
    others = [None, 0, 1.5, "", b"x", str(old), f"{old} ", f"{old}".encode(), -1 if column == 1 else "anna", ODD]
    row[column] = rng.choice([other for other in others if (type(other), other) != (type(old), old)])


def remove_some(rows: Rows, rng: random.Random) -> None:
    begin = rng.randrange(len(rows))
    del rows[begin : begin + rng.randint(1, 4)]


def remove_the_end(rows: Rows, rng: random.Random) -> None:
    del rows[-rng.randint(1, len(rows)) :]


def remove_and_renumber(rows: Rows, rng: random.Random) -> None:
    del rows[rng.randrange(len(rows))]
    for number, row in enumerate(rows, 1):
        row[NUMBER] = number


def insert(rows: Rows, rng: random.Random) -> None:
    rows.insert(rng.randint(0, len(rows)), list(rng.choice(rows)))
    for number, row in enumerate(rows, 1):
        row[NUMBER] = number


def swap(rows: Rows, rng: random.Random) -> None:
    one, other = rng.sample(range(len(rows)), 2)
    rows[one][NUMBER], rows[other][NUMBER] = rows[other][NUMBER], rows[one][NUMBER]


def renumber(rows: Rows, rng: random.Random) -> None:
    begin, by = rng.randrange(len(rows)), rng.choice([1, 7, 2**40])
    for row in rows[begin:]:
        row[NUMBER] += by


ALTERATIONS: list[Callable[[Rows, random.Random], None]] = [
    change_a_value, remove_some, remove_the_end, remove_and_renumber, insert, swap, renumber,
]  # fmt: skip


def chain_again(rows: Rows) -> None:
    """What somebody does who knows how the hashes are made."""
    previous = "0" * 64
    for row in sorted(rows, key=lambda row: row[NUMBER]):
        if not any(isinstance(value, bytes) for value in (previous, *row)):
            row[HASH] = sha256(json.dumps([previous, *row[:HASH]]).encode()).hexdigest()
        previous = row[HASH]


def test_every_alteration_is_found(path: Path, tmp_path: Path) -> None:
    rng = random.Random(20261128)
    original, altered = rows_of(path), tmp_path / "altered" / "audit.sqlite"
    altered.parent.mkdir()
    missed = []
    for number in range(ROUNDS):
        rows = [list(row) for row in original]
        alter = ALTERATIONS[number % len(ALTERATIONS)]
        alter(rows, rng)
        chained = [list(row) for row in rows]
        chain_again(chained)
        if rng.random() < 0.5 and chained != original:  # a hash that was altered is made right again
            rows = chained
        shutil.copyfile(path, altered)
        shutil.copyfile(path.with_suffix(".head"), altered.with_suffix(".head"))
        rewrite(altered, rows)
        if not verify(altered):
            missed.append((number, alter.__name__))
    assert missed == []


def test_an_untouched_trail_has_no_findings_also_when_it_is_written_again(path: Path) -> None:
    assert verify(path) == []
    rewrite(path, rows_of(path))
    assert verify(path) == []
    write(path, 1)
    assert verify(path) == []


def test_the_table_refuses_changes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for change in ("UPDATE entries SET who = 'eve'", "DELETE FROM entries WHERE number = 12"):
            with pytest.raises(sqlite3.IntegrityError, match="stay"):
                connection.execute(change)


@pytest.mark.parametrize(
    "sql", ["DROP TRIGGER no_update", "ALTER TABLE entries ADD COLUMN more TEXT", "DROP TABLE entries"]
)
def test_a_changed_table_is_found(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
    assert verify(path)


@pytest.mark.parametrize("what", ["removed", "cut short", "other numbers", "not a number", "not text"])
def test_a_changed_head_is_found_and_nothing_covers_it_up(path: Path, what: str) -> None:
    head = path.with_suffix(".head")
    said = head.read_text()
    {
        "removed": head.unlink,
        "cut short": lambda: head.write_text(said[:20]),
        "other numbers": lambda: head.write_text(said.replace("12", "11")),
        "not a number": lambda: head.write_text(said.replace('"number": 12', '"number": "12"')),
        "not text": lambda: head.write_bytes(b"\xff\xfe"),
    }[what]()
    assert verify(path)
    with pytest.raises(AuditError):
        write(path, 1)
    assert verify(path)


def test_nothing_is_added_to_a_trail_that_lost_its_end(path: Path) -> None:
    rewrite(path, rows_of(path)[:-1])
    with pytest.raises(AuditError, match="was altered"):
        write(path, 1)


def test_a_removed_table_is_found(path: Path) -> None:
    path.unlink()
    assert "row 12 was the newest" in verify(path)[0]
    with pytest.raises(AuditError):
        write(path, 1)


def test_a_whole_new_trail_is_found_with_a_row_from_the_log(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    known = (5, rows_of(path)[4][HASH])
    path.unlink()
    path.with_suffix(".head").unlink()
    write(path, 12)
    assert verify(path) == []
    assert verify(path, known) == ["row 5 is not the one whose hash you gave"]
    assert main(["audit", "verify", str(path), "--head", f"{known[0]}:{known[1]}"]) == 1
    assert "row 5" in capfd.readouterr().out


def test_a_crash_between_the_steps_of_one_row_is_not_an_alteration(path: Path, tmp_path: Path) -> None:
    """The process is killed at each point where a file changes; what it leaves is whole, and the next row fits."""
    codes = []
    for step in range(1, 13):
        crashed = tmp_path / f"step-{step}" / "audit.sqlite"
        crashed.parent.mkdir()
        write(crashed, 2)
        killed = subprocess.run(
            [sys.executable, "-c", _DIE_AT, str(crashed), str(step)], env=os.environ, capture_output=True, check=False
        )
        codes.append(killed.returncode)
        assert verify(crashed) == [], f"step {step}: {killed.stderr.decode()}"
        before = len(rows_of(crashed))
        write(crashed, 1)
        assert verify(crashed) == []
        assert len(rows_of(crashed)) == before + 1 in (3, 4)
    assert 9 in codes[8:] or codes[-1] == 0, "there are more steps than the test has tried"
    assert codes.count(9) >= 8


_DIE_AT = """
import os, sys
from pathlib import Path
from inspectd.records.audit import AuditTrail
left = int(sys.argv[2])
def count(event, args):
    global left
    if event in ("open", "os.rename", "sqlite3.connect", "os.remove") and str(Path(sys.argv[1]).parent) in str(args[0]):
        left -= 1
        if not left:
            os._exit(9)
sys.addaudithook(count)
AuditTrail(Path(sys.argv[1])).append("anna", "review", {"part": 3})
"""


def test_several_processes_add_rows(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from inspectd.records.audit import AuditTrail\n"
        "for n in range(10): AuditTrail(Path(sys.argv[1])).append('ben', 'review', {'part': n})"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path)], stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [each.wait(timeout=60) for each in running] == [0, 0, 0]
    assert verify(path) == []
    assert len(rows_of(path)) == 42


def test_text_of_any_kind_is_kept_as_it_is_and_does_no_harm(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    number = AuditTrail(path).append(ODD, "review", {"says": ODD})
    (entry,) = AuditTrail(path).entries(limit=1)
    assert (entry.number, entry.who, entry.detail, entry.address) == (number, ODD, {"says": ODD}, "")
    assert verify(path) == []
    assert main(["audit", "list", str(path), "--last", "2"]) == 0
    assert "\x1b" not in capfd.readouterr().out


def test_pages_of_entries_begin_with_the_newest(path: Path) -> None:
    trail = AuditTrail(path)
    assert [entry.number for entry in trail.entries(limit=3)] == [12, 11, 10]
    assert [entry.number for entry in trail.entries(before=3)] == [2, 1]


def test_only_its_owner_may_read_it(path: Path) -> None:
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_a_trail_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="can't be written"):
        AuditTrail(tmp_path / "nowhere" / "audit.sqlite").append("anna", "login", {})
    with pytest.raises(AuditError, match="there is no audit trail"):
        verify(tmp_path / "audit.sqlite")
