"""Notes for the journal, from any thread. They are written in the transaction of a later part.

What the gate did, for example, is usually known after the verdict, but before it if the verdict is late.
"""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

_PENDING_LIMIT = 20_000
"""How many notes are kept while nothing can be written. Above that the oldest are lost; verdicts are never lost here."""


@dataclass(frozen=True, slots=True)
class Note:
    """A statement that is written together with the row of its part, or later."""

    part: int
    sql: str
    values: dict[str, object]


class Notes:
    """The notes of one session that wait. Thread-safe."""

    def __init__(self, session: int) -> None:
        self.lost = 0
        """How many were dropped, or rejected by the database."""
        self._session = session
        self._lock = threading.Lock()
        self._pending: list[Note] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, part_id: int, sql: str, **values: object) -> None:
        """`part_id` 0: the note waits for no part. `sql` may use :part and :session, and the names in `values`."""
        with self._lock:
            self._pending.append(Note(part_id, sql, {"part": part_id, "session": self._session, **values}))
            overflow = len(self._pending) - _PENDING_LIMIT
            if overflow > 0:
                self.lost += overflow
                del self._pending[:overflow]

    def up_to(self, part_id: int | None) -> list[Note]:
        """The notes that wait for this part or an earlier one; None: all notes."""
        with self._lock:
            return [note for note in self._pending if part_id is None or note.part <= part_id]

    def write(self, connection: sqlite3.Connection, notes: Sequence[Note]) -> int:
        """Returns how many the database rejects. It would reject them again, so they must not hold up the others.

        Raises sqlite3.Error.
        """
        return sum(not self._write(connection, note) for note in notes)

    def written(self, notes: Sequence[Note], refused: int) -> None:
        """The notes are in the database, except the `refused` ones."""
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
