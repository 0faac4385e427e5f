"""How a session of the journal begins: the tables, the number of the next part, and what was not seen since the last one."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from inspectd.errors import JournalError
from inspectd.records.journal_file import SetAside
from inspectd.records.journal_schema import prepare_schema

log = structlog.get_logger()

_LOG_FILE_LIMIT = 64 * 1024 * 1024
"""A longer log file is cut to this size once its rows are in the database."""

INSERT_STEP = """
INSERT INTO clock_steps (session, after_part, t_mono_ns, t_from_utc_ns, t_to_utc_ns)
VALUES (:session, :after, :mono_ns, :from_ns, :to_ns)
"""

_NEXT_PART = """
SELECT 1 + max(
    coalesce((SELECT max(id) FROM parts), 0),
    coalesce((SELECT max(max(first_part - 1, coalesce(last_part, 0))) FROM sessions), 0),
    coalesce((SELECT max(last_part) FROM outages), 0)
)
"""

# The last part of a session may be later than its last sign of life.
_UNCLEAN = """
SELECT sessions.id, max(alive_utc_ns, coalesce(parts.t_utc_ns, alive_utc_ns))
FROM sessions LEFT JOIN parts
    ON parts.id = (SELECT id FROM parts AS own
        WHERE own.session = sessions.id AND own.id >= sessions.first_part ORDER BY id DESC LIMIT 1)
WHERE ended_utc_ns IS NULL AND sessions.id <> :session
"""


# The machine may have started again, and then its monotonic clock too.
_STOPS_GO_ON = """
UPDATE stops SET session = :session, t_mono_ns = :mono_ns - (:utc_ns - t_utc_ns)
WHERE session = :last AND acknowledged_utc_ns IS NULL
"""


def prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    """Set up the connection and the tables. Raises JournalError if the file is not a journal."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only a new file takes it
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(
            f"{path}: this disk can't hold a journal, because it has no write-ahead log; use a local disk"
        )
    connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_FILE_LIMIT}")
    connection.execute("PRAGMA foreign_keys = ON")
    prepare_schema(connection, path)


def begin_session(
    connection: sqlite3.Connection, aside: SetAside | None, first_part_id: Callable[[], int]
) -> tuple[int, int]:
    """The new session's id, and the number of its first part. `aside`: the damaged journal that a new journal follows."""
    moment = now()
    last = connection.execute("SELECT id, alive_utc_ns FROM sessions ORDER BY id DESC LIMIT 1").fetchone()
    (next_part_id,) = connection.execute(_NEXT_PART).fetchone()
    if last is None:
        next_part_id = max(next_part_id, aside.last_part + 1 if aside is not None else 1, first_part_id())
    else:
        aside = None
    cursor = connection.execute(
        "INSERT INTO sessions (started_utc_ns, alive_utc_ns, started_mono_ns, alive_mono_ns, first_part, last_part) "
        "VALUES (:utc_ns, :utc_ns, :mono_ns, :mono_ns, :first, :first - 1)",
        {**moment, "first": next_part_id},
    )
    session = int(cursor.lastrowid or 0)
    _report_unseen(connection, session, moment)
    if last is not None:
        connection.execute(_STOPS_GO_ON, {**moment, "session": session, "last": last[0]})
    if aside is not None:
        detail = f"the journal was damaged ({aside.reason}): its records are in {aside.path}"
        _insert_unseen(connection, session, moment["utc_ns"], moment["utc_ns"], detail)
    if last is not None and moment["utc_ns"] < last[1] - 10**9:
        log.warning(
            "the clock is behind the last record: times of records may be wrong",
            by_s=(last[1] - moment["utc_ns"]) // 10**9,
        )
        step = {
            "session": session,
            "after": next_part_id - 1,
            "mono_ns": moment["mono_ns"],
            "from_ns": last[1],
            "to_ns": moment["utc_ns"],
        }
        connection.execute(INSERT_STEP, step)
        connection.execute("UPDATE sessions SET clock_steps = clock_steps + 1 WHERE id IN (?, ?)", (session, last[0]))
    return session, next_part_id


def _report_unseen(connection: sqlite3.Connection, session: int, moment: dict[str, int]) -> None:
    """An `unseen` outage for each earlier session that did not end cleanly."""
    for ended, t_from_ns in connection.execute(_UNCLEAN, {"session": session}).fetchall():
        _insert_unseen(
            connection,
            session,
            t_from_ns,
            moment["utc_ns"],
            "the service ended without finishing its parts",
        )
        connection.execute("UPDATE sessions SET ended_utc_ns = alive_utc_ns WHERE id = ?", (ended,))
        connection.execute(
            "UPDATE outages SET t_to_utc_ns = ? WHERE session = ? AND t_to_utc_ns IS NULL", (t_from_ns, ended)
        )
        log.warning(
            "parts of this interval were not seen",
            seconds=round((moment["utc_ns"] - t_from_ns) / 1e9, 1),
            session=ended,
        )


def _insert_unseen(connection: sqlite3.Connection, session: int, t_from_ns: int, t_to_ns: int, detail: str) -> None:
    connection.execute(
        "INSERT INTO outages (session, kind, t_from_utc_ns, t_to_utc_ns, parts, detail) "
        "VALUES (?, 'unseen', ?, ?, 0, ?)",
        (session, t_from_ns, t_to_ns, detail),
    )


def now() -> dict[str, int]:
    return {"utc_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
