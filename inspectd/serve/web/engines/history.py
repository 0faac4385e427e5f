"""Which engine has judged which parts, from the journal."""

import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from inspectd.records.reading import open_for_reading

_AT_ONCE = 50_000
"""Parts that one short transaction reads: a long one would hold up the line's checkpoints."""

_CHANGES = """
SELECT id, t_utc_ns, engine FROM (
    SELECT id, t_utc_ns, engine, lag(engine) OVER (ORDER BY id) AS before FROM parts WHERE id > ? AND id <= ?
) WHERE before IS NOT engine
"""
_ENGINES = "SELECT id, name, hash FROM engines"


@dataclass(frozen=True, slots=True)
class Reign:
    """Parts in a row that one engine has judged."""

    name: str
    hash: str
    first_part: int
    last_part: int
    t_utc_ns: int
    """Trigger of the first one."""


class EngineHistory:
    """Remembers what it has read: the journal may hold millions of parts."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._changes: list[tuple[int, int, int]] = []
        """First part, its trigger in UTC ns, number of the engine."""
        self._newest = 0

    def reigns(self) -> list[Reign]:
        """The newest first. Raises JournalError, sqlite3.Error."""
        with self._lock, closing(open_for_reading(self._journal)) as journal:
            oldest, newest = journal.execute("SELECT min(id), max(id) FROM parts").fetchone()
            if newest is None or newest < self._newest:  # a new journal
                self._changes, self._newest = [], 0
            at = max(self._newest, (oldest or 1) - 1)
            while newest is not None and at < newest:
                end = min(at + _AT_ONCE, newest)
                for part, t_utc_ns, engine in journal.execute(_CHANGES, (at, end)).fetchall():
                    if not self._changes or self._changes[-1][2] != engine:
                        self._changes.append((part, t_utc_ns, engine))
                at = self._newest = end
            engines = {id_: (name, hash_) for id_, name, hash_ in journal.execute(_ENGINES)}
        found, last = [], self._newest
        for first, t_utc_ns, engine in reversed(self._changes):
            found.append(Reign(*engines.get(engine, ("unknown", "")), first, last, t_utc_ns))
            last = first - 1
        return found
