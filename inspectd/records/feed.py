"""The change feed: what the line wrote into the journal since a number, for another process that follows it.

The line's own transaction gives each inserted or amended row of `parts`, `stops`, `outages` and `sessions` the next number.
Rows from before schema version 6 have no number until they are amended. A deleted row is not a change: retention deletes the
oldest parts, and a follower that keeps rows must forget them itself.
"""

import heapq
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inspectd.errors import JournalError
from inspectd.records.journal_schema import NEWEST_CHANGE
from inspectd.records.reading import UNREADABLE, open_for_reading

Kind = Literal["part", "stop", "outage", "session"]

_SELECT: dict[Kind, str] = {
    "part": "SELECT parts.*, engines.name AS engine_name, engines.hash AS engine_hash FROM parts LEFT JOIN engines ON engines.id = parts.engine",
    "stop": "SELECT * FROM stops",
    "outage": "SELECT * FROM outages",
    "session": "SELECT * FROM sessions",
}
_TEXTS = "SELECT * FROM texts WHERE part IN (SELECT value FROM json_each(?)) ORDER BY part, field"


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it is now. A row that has changed twice comes once, with the number of its newest change."""

    number: int
    kind: Kind
    row: dict[str, Any]
    """The columns of its table. A part also has `engine_name` and `engine_hash`, and `texts`: its rows of that table."""


class Feed:
    """Follows one journal. Only one thread at a time may use it.

    Between two calls it holds no transaction, so a follower that hangs there can't make the journal's log grow.
    """

    def __init__(self, path: Path) -> None:
        """Raises JournalError if there is no journal of this version at `path`, or if this user may not read it."""
        self._path = path
        self._file = self._identity()
        self._connection = open_for_reading(path)
        self._seen_version: int | None = None
        self._newest = 0
        self.journal = ""
        """The journal's random name. Numbers of two journals can't be compared."""
        self.deleted = 0
        """The highest number of all deleted rows, at the moment of the last look."""
        try:
            self.newest()
        except BaseException:
            self._connection.close()
            raise

    def newest(self) -> int:
        """The number of the newest change; 0 if there is none. Raises JournalError."""
        with self._reading():
            return self._newest

    def has_news(self) -> bool:
        """Whether somebody wrote the journal since the last call; it takes microseconds. Raises JournalError.

        While no line runs, it may be true for a user who may only read, though nothing was written.
        """
        try:
            self._check_file()
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except UNREADABLE as error:
            raise self._unreadable(error) from error
        seen, self._seen_version = self._seen_version, int(version)
        return seen != self._seen_version

    def after(self, number: int, limit: int = 500) -> list[Change]:
        """At most `limit` changes with a higher number, the lowest number first, all read at one moment.

        Raises JournalError if the journal can't be read, or is no longer the one that was opened: open a new Feed then.
        """
        with self._reading():
            changes = list(heapq.merge(*(self._changes(kind, number, limit) for kind in _SELECT), key=_number))[:limit]
            self._add_texts({change.row["id"]: change.row for change in changes if change.kind == "part"})
        return changes

    def session(self) -> dict[str, Any] | None:
        """The newest row of `sessions`; None if there is none. Raises JournalError."""
        with self._reading():
            row = self._connection.execute("SELECT * FROM sessions ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else dict(row)

    def close(self) -> None:
        self._connection.close()

    def _changes(self, kind: Kind, number: int, limit: int) -> list[Change]:
        sql = f"{_SELECT[kind]} WHERE change > ? ORDER BY change LIMIT ?"
        rows = map(dict, self._connection.execute(sql, (number, limit)))
        return [Change(row.pop("change"), kind, row) for row in rows]

    def _add_texts(self, parts: dict[int, dict[str, Any]]) -> None:
        for part in parts.values():
            part["texts"] = []
        for text in self._connection.execute(_TEXTS, (json.dumps(list(parts)),)):
            parts[text["part"]]["texts"].append(dict(text))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One read transaction on the journal that was opened. Any error of SQLite is a JournalError."""
        try:
            self._check_file()
            self._connection.execute("BEGIN")
            try:
                self._check_numbers()
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _check_numbers(self) -> None:
        row = self._connection.execute(f"SELECT journal, {NEWEST_CHANGE} AS newest, deleted FROM feed").fetchone()  # noqa: S608
        if row is None or row["journal"] != (self.journal or row["journal"]) or row["newest"] < self._newest:
            raise JournalError(f"{self._path}: was overwritten by another journal or by an older copy; open it again")
        self.journal, self._newest, self.deleted = row

    def _check_file(self) -> None:
        if self._identity() != self._file:
            raise JournalError(f"{self._path}: was replaced by another file; open it again")

    def _identity(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise JournalError(f"{self._path}: can't be read as a journal: {error.strerror}") from error
        return status.st_dev, status.st_ino

    def _unreadable(self, error: Exception) -> JournalError:
        return JournalError(f"{self._path}: can't be read as a journal: {error}")


def _number(change: Change) -> int:
    return change.number
