"""Who did what on the operator's page: a table to which rows are only added, each with a hash over all rows before it.

The file `audit.head` beside the table holds the number and the hash of the newest row, so that a removed end is noticed.
A row is written in three steps: the head announces the hash of the coming row, the row is committed, the head moves to it.
After a crash between two steps the head has the announcement, and the newest row is the announced one or the one before
it. Any other difference is an alteration: then nothing is added, so that nothing covers it up.

Somebody who may write both files can make a whole new trail. The log has number and hash of every row as well:
`verify(path, known=...)` compares them.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from inspectd.errors import AuditError
from inspectd.files.atomic_write import atomic_write

log = structlog.get_logger()

Detail = str | int | float | None
Row = tuple[int, int, str, str, str, str]
"""Number, time, who, address, action and detail, as in the table."""

_COLUMNS = "number, t_utc_ns, who, address, action, detail"
_TABLES = (
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, t_utc_ns INTEGER NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL, "
    "action TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL) STRICT",
    "CREATE TRIGGER no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'rows of the audit trail stay as they are'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'rows of the audit trail stay'); END",
)
_BEFORE_THE_FIRST = "0" * 64
_NOT_NOW = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""Errors of the disk or of the rights of this user. They say nothing about the rows."""
_WAIT_S = 5.0
"""Another process may write its row first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row."""

    number: int
    t_utc_ns: int
    who: str
    """The user; "" if nobody was logged in."""
    address: str
    """Where the request came from: an IP address, or "" on the line's computer itself."""
    action: str
    detail: dict[str, Detail]


@dataclass(frozen=True, slots=True)
class _Head:
    """What the file beside the table says."""

    number: int
    hash: str
    next: str | None
    """The hash of the row that is about to be written."""

    def fits(self, number: int, hash_: str) -> bool:
        """Whether this may be the newest row."""
        return (number, hash_) in ((self.number, self.hash), (self.number + 1, self.next))


class AuditTrail:
    """Opens its file for each call: several threads and processes may add rows, and a page that only reads needs no disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, who: str, action: str, detail: Mapping[str, Detail], address: str = "") -> int:
        """Write a row, wait until it is on the disk, and return its number. Call it before the action itself.

        Raises AuditError: then the action must not be done.
        """
        try:
            text = json.dumps(dict(detail), allow_nan=False)
            _create_private(self._path)
            with closing(_connect(self._path)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                number, previous = self._newest(connection)
                row = (number + 1, time.time_ns(), who, address, action, text)
                hash_ = _hash(row, previous)
                _write_head(self._path, _Head(number, previous, hash_))
                connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, hash_))
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")  # another process may have added a row since
                _write_head(self._path, _Head(*_newest(connection), None))
        except (OSError, sqlite3.Error, ValueError) as error:
            raise AuditError(f"{self._path}: the audit trail can't be written: {error}") from error
        log.info("audit", head=f"{number + 1}:{hash_}", who=who, action=action)
        return number + 1

    def _newest(self, connection: sqlite3.Connection) -> tuple[int, str]:
        """Number and hash of the newest row; makes the table of a new trail. Raises AuditError if the head contradicts it."""
        head = _read_head(self._path)
        is_empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if is_empty and (head is None or head.number == 0):
            for statement in _TABLES:
                connection.execute(statement)
            return 0, _BEFORE_THE_FIRST
        number, hash_ = (0, _BEFORE_THE_FIRST) if is_empty else _newest(connection)
        if head is None or not head.fits(number, hash_):
            raise AuditError(
                f"{self._path}: the audit trail was altered, so nothing is added to it; `inspectd audit verify` says what "
                f"was altered; keep {self._path.name} and {_head_file(self._path).name} elsewhere, and a new trail begins"
            )
        return number, hash_

    def entries(self, before: int | None = None, limit: int = 100) -> list[Entry]:
        """The newest rows, or the newest ones before row `before`; the newest first. Raises AuditError."""
        if not _has_rows(self._path):
            return []
        try:
            with closing(_connect(self._path)) as connection:
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM entries WHERE number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608 - a constant
                    (2**62 if before is None else before, limit),
                ).fetchall()
            return [
                Entry(number, t, who, address, action, json.loads(text))
                for number, t, who, address, action, text in rows
            ]
        except (OSError, sqlite3.Error, ValueError) as error:
            raise AuditError(f"{self._path}: the audit trail can't be read: {error}") from error


def verify(path: Path, known: tuple[int, str] | None = None) -> list[str]:
    """One sentence per row that was altered, removed, inserted or moved; empty if there are none.

    `known`: number and hash of a row, from the log or from notes. Raises AuditError if there is no trail.
    """
    try:
        head = _read_head(path)
        if not _has_rows(path):
            if head is None or head.number == 0:
                raise AuditError(f"{path}: there is no audit trail")
            return [f"the table is missing; {_head_file(path).name} says that row {head.number} was the newest one"]
        with closing(_connect(path)) as connection:
            connection.text_factory = lambda data: data.decode(errors="surrogateescape")
            connection.execute("BEGIN")
            return list(_findings(connection, head, known))
    except (OSError, sqlite3.Error, TypeError, ValueError) as error:
        if isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_NOW:
            raise AuditError(f"{path}: the audit trail can't be read: {error}") from error
        return [f"the trail can't be read as it was written: {error}"]


def _findings(connection: sqlite3.Connection, head: _Head | None, known: tuple[int, str] | None) -> Iterator[str]:
    tables = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}
    if tables != set(_TABLES):
        yield "the table or the triggers that forbid changes are not those of an audit trail"
    number, hash_, found = 0, _BEFORE_THE_FIRST, None
    query = f"SELECT {_COLUMNS}, hash FROM entries ORDER BY rowid"  # noqa: S608 - a constant
    for *row, written in connection.execute(query):
        if row[0] != number + 1:
            yield f"row {number + 1} is missing: {row[0]!r} comes next"
        elif written != _hash(row, hash_):
            yield f"row {row[0]} was altered, or the row before it was"
        number, hash_ = row[0] if isinstance(row[0], int) else number + 1, written
        if known is not None and number == known[0]:
            found = written
    if head is None:
        yield "the file with the newest row's number and hash (audit.head) is missing"
    elif not head.fits(number, hash_):
        yield f"the last row is {number}, and audit.head says that row {head.number} was written with another hash or after it"
    if known is not None and found != known[1]:
        yield f"row {known[0]} is not the one whose hash you gave"


def _hash(row: Any, previous: str) -> str:
    """SHA-256, in hex, of the row and the hash before it. JSON keeps 1, 1.0, "1" and null apart."""
    return hashlib.sha256(json.dumps([previous, *row]).encode()).hexdigest()


def _newest(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute("SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1").fetchone()
    return row or (0, _BEFORE_THE_FIRST)


def _head_file(path: Path) -> Path:
    return path.with_suffix(".head")


def _read_head(path: Path) -> _Head | None:
    """None if there is none. Raises OSError, ValueError."""
    try:
        said = json.loads(_head_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(said, dict) or said.keys() != {"number", "hash", "next"} or not isinstance(said["number"], int):
        raise ValueError(f"{_head_file(path).name} was altered")
    return _Head(**said)


def _write_head(path: Path, head: _Head) -> None:
    with atomic_write(_head_file(path), flush=True) as unfinished:
        _create_private(unfinished)
        unfinished.write_text(
            json.dumps({"number": head.number, "hash": head.hash, "next": head.next}), encoding="utf-8"
        )


def _has_rows(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _create_private(path: Path) -> None:
    """Only its owner may read it."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    """Also a reader must be able to write: it takes back what a crash has left half written."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_WAIT_S)
