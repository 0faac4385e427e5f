"""What the journal is told beside the verdicts, by any thread: it is written in the transaction of a later part.

What the gate did, for example, is known after the verdict, or before it where that comes late.
"""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

_PENDING_LIMIT = 20_000
"""Notes kept while nothing can be written; beyond, the oldest are lost (the verdicts themselves are not)."""


@dataclass(frozen=True, slots=True)
class Note:
    """A statement that is written together with, or after, the row of its part."""

    part: int
    sql: str
    values: dict[str, object]


class Notes:
    """Those of one session that wait. Thread-safe."""

    def __init__(self, session: int) -> None:
        self.lost = 0
        """How many were dropped, or refused by the database."""
        self._session = session
        self._lock = threading.Lock()
        self._pending: list[Note] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, part_id: int, sql: str, **values: object) -> None:
        """`part_id` 0: it waits for no part. `sql` may use :part and :session beside `values`."""
        with self._lock:
            self._pending.append(Note(part_id, sql, {"part": part_id, "session": self._session, **values}))
            overflow = len(self._pending) - _PENDING_LIMIT
            if overflow > 0:
                self.lost += overflow
                del self._pending[:overflow]

    def up_to(self, part_id: int | None) -> list[Note]:
        """Those that need no later part than this; None: all."""
        with self._lock:
            return [note for note in self._pending if part_id is None or note.part <= part_id]

    def write(self, connection: sqlite3.Connection, notes: Sequence[Note]) -> int:
        """Answers how many the database refuses, whatever it is told later: these must not hold up the others.

        Raises sqlite3.Error.
        """
        return sum(not self._write(connection, note) for note in notes)

    def written(self, notes: Sequence[Note], refused: int) -> None:
        """They are in the database, all but the refused ones."""
        done = set(map(id, notes))
        with self._lock:
            self.lost += refused
            self._pending = [note for note in self._pending if id(note) not in done]

    def _write(self, connection: sqlite3.Connection, note: Note) -> bool:
        try:
            connection.execute(note.sql, note.values)
        except Exception as error:
            if type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError):
                raise
            if self.lost == 0:
                log.error(
                    "a note can't be recorded and is dropped", part=note.part, error=f"{type(error).__name__}: {error}"
                )
            return False
        return True
