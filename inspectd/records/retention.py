"""Which parts are old enough to be deleted. The wall clock does not decide that, because it may be wrong by years.

A part's age is the time for which the line has run since, by the monotonic clock of each session. The time between two
sessions does not count, because only the wall clock knows it.
"""

import sqlite3
import threading
import time
from dataclasses import dataclass
from itertools import takewhile

import structlog

from inspectd.records.journal import JournalConfig
from inspectd.records.journal_session import transaction

log = structlog.get_logger()

_Row = tuple[int, int, int, int]
"""id, session, t_utc_ns, t_mono_ns"""

_BATCH = 200
"""Parts deleted in one transaction: the line then waits for the write lock about 1 ms."""
_PAUSE_S = 0.05
_LARGEST_ROUND = 20_000
"""Parts that one round may delete because of their age. It is more than a line makes until the next round."""
_VACUUM_PAGES = 50
_DAY_NS = 86_400 * 10**9

_COUNT_DELETED = """
INSERT INTO deletions (reason, parts, last_part, t_utc_ns) VALUES (?, ?, ?, ?)
ON CONFLICT (reason) DO UPDATE SET parts = parts + excluded.parts, last_part = max(last_part, excluded.last_part),
    t_utc_ns = excluded.t_utc_ns
"""


@dataclass(frozen=True, slots=True)
class _Session:
    """`ran_since_ns`: how long later sessions have run. Without a clock step, `t_utc_ns` is as good as `t_mono_ns`."""

    ran_since_ns: int
    alive_utc_ns: int
    alive_mono_ns: int
    clock_steps: int

    def age_ns(self, t_utc_ns: int, t_mono_ns: int) -> int:
        within = self.alive_mono_ns - t_mono_ns if self.clock_steps else self.alive_utc_ns - t_utc_ns
        return self.ran_since_ns + within


def retain(connection: sqlite3.Connection, config: JournalConfig, stopping: threading.Event) -> None:
    """Delete the oldest parts beyond `keep_days` and `max_mb`, and give the space back to the disk.

    The last part always stays, because the numbers of the next session follow it. Raises sqlite3.Error.
    """
    sessions = _sessions(connection)
    limit_ns = config.keep_days * _DAY_NS
    old = 0
    while old < _LARGEST_ROUND and not stopping.is_set():
        batch = _oldest(connection)
        too_old = list(takewhile(lambda row: _age_ns(sessions, *row) >= limit_ns, batch))
        if not _delete(connection, too_old, "keep_days"):
            break
        old += len(too_old)
        stopping.wait(_PAUSE_S)
    surplus = 0
    while _used_mb(connection) > config.max_mb and not stopping.is_set():
        batch = _oldest(connection)
        if not _delete(connection, batch, "max_mb"):
            break
        surplus += len(batch)
        stopping.wait(_PAUSE_S)
    if old or surplus:
        log.info("old parts deleted from the journal", keep_days=old, max_mb=surplus)
    _give_back(connection, stopping)


def _sessions(connection: sqlite3.Connection) -> dict[int, _Session]:
    sessions, ran_ns = {}, 0
    for session, started_mono_ns, *alive in connection.execute(
        "SELECT id, started_mono_ns, alive_utc_ns, alive_mono_ns, clock_steps FROM sessions ORDER BY id DESC"
    ):
        sessions[session] = _Session(ran_ns, *alive)
        ran_ns += max(0, alive[1] - started_mono_ns)
    return sessions


def _oldest(connection: sqlite3.Connection) -> list[_Row]:
    return connection.execute(
        "SELECT id, session, t_utc_ns, t_mono_ns FROM parts WHERE id < (SELECT max(id) FROM parts) ORDER BY id LIMIT ?",
        (_BATCH,),
    ).fetchall()


def _age_ns(sessions: dict[int, _Session], part: int, session: int, t_utc_ns: int, t_mono_ns: int) -> int:
    return sessions[session].age_ns(t_utc_ns, t_mono_ns) if session in sessions else 0


def _delete(connection: sqlite3.Connection, parts: list[_Row], reason: str) -> bool:
    if not parts:
        return False
    first, last = parts[0][0], parts[-1][0]
    with transaction(connection):
        connection.execute("DELETE FROM texts WHERE part BETWEEN ? AND ?", (first, last))
        connection.execute("DELETE FROM parts WHERE id BETWEEN ? AND ?", (first, last))
        connection.execute(_COUNT_DELETED, (reason, len(parts), last, time.time_ns()))
    return True


def _used_mb(connection: sqlite3.Connection) -> float:
    return (
        (_pragma(connection, "page_count") - _pragma(connection, "freelist_count"))
        * _pragma(connection, "page_size")
        / 1e6
    )


def _give_back(connection: sqlite3.Connection, stopping: threading.Event) -> None:
    for _ in range(1000 // _VACUUM_PAGES):
        if stopping.is_set() or _pragma(connection, "freelist_count") < _VACUUM_PAGES:
            return
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        stopping.wait(_PAUSE_S)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
