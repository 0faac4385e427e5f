"""Whether the journal still holds what was recorded: part numbers against rows, the line's count against the journal's.

Part numbers go up by one, also from session to session. Each number has a row, or is counted in a `record_error` outage, or
was deleted by retention. Any other number is a lost record.
"""

import sqlite3
import time
from dataclasses import dataclass

_RUNNING_NS = 5 * 10**9
"""A running line writes a sign of life every second."""
_ANSWER_NS = 120 * 10**9
"""Twice the longest `gate.delay_ms`: by then the gate has acted on every label."""

Span = tuple[int, int]
"""[from, to) in UTC ns"""


@dataclass(frozen=True, slots=True)
class Accounts:
    """How complete and how reliable the records of a range are."""

    lost: int
    """Part numbers without any record."""
    miscounted: list[dict[str, object]]
    """Sessions that ended cleanly, but whose line counted another number of labels than the journal: session, triggers,
    accounted."""
    doubtful_times: int
    """Parts of the range whose session has doubtful times: the clock was set, or was behind the session before."""
    doubtful_elsewhere: int
    """The other parts of these sessions. Their times say that they are not in the range, which may be wrong."""
    clock_steps: list[dict[str, object]]
    deleted: dict[str, int]
    """How many parts retention has ever deleted, per config key."""
    images_lost: int
    """Images that the archive dropped or could not store, in the range's sessions."""
    notes_lost: int
    """Outcomes, durations and image names that could not be recorded, in the range's sessions."""


def account(connection: sqlite3.Connection, span: Span) -> Accounts:
    """The caller has begun a transaction. Raises sqlite3.Error."""
    sessions = _sessions(connection, span)
    marks = ",".join("?" * len(sessions))
    ids = [row["id"] for row in sessions]
    doubtful = [_parts_of(connection, row["id"], span) for row in sessions if row["clock_steps"]]
    return Accounts(
        lost=_lost(connection, span),
        miscounted=[
            {"session": row["id"], "triggers": row["triggers"], "accounted": row["accounted"]}
            for row in sessions
            if row["ended_cleanly"] and row["triggers"] not in (None, row["accounted"])
        ],
        doubtful_times=sum(inside for inside, _ in doubtful),
        doubtful_elsewhere=sum(elsewhere for _, elsewhere in doubtful),
        clock_steps=[
            dict(row)
            for row in connection.execute(
                f"SELECT session, after_part, t_from_utc_ns, t_to_utc_ns FROM clock_steps WHERE session IN ({marks}) "  # noqa: S608
                "ORDER BY id",
                ids,
            )
        ],
        deleted=dict(map(tuple, connection.execute("SELECT reason, parts FROM deletions ORDER BY reason"))),
        images_lost=sum(row["images_lost"] for row in sessions),
        notes_lost=sum(row["notes_lost"] for row in sessions),
    )


def unanswered(connection: sqlite3.Connection, span: Span) -> list[sqlite3.Row]:
    """Parts on which the gate has not reported, because the line died or a message was lost. Labels in flight do not count."""
    return connection.execute(
        """
        SELECT parts.id, t_utc_ns, verdict, class, reason, gate_lateness_us
        FROM parts LEFT JOIN sessions ON sessions.id = parts.session
        WHERE t_utc_ns >= ? AND t_utc_ns < ? AND gate_outcome IS NULL
            AND (ended_utc_ns IS NOT NULL OR alive_mono_ns IS NULL OR NOT ? - alive_mono_ns BETWEEN 0 AND ?
                OR t_mono_ns < alive_mono_ns - ?)
        ORDER BY parts.id
        """,
        (*span, time.monotonic_ns(), _RUNNING_NS, _ANSWER_NS),
    ).fetchall()


def _sessions(connection: sqlite3.Connection, span: Span) -> list[sqlite3.Row]:
    """The sessions that touch the range, by any time that their clock ever showed, or by any of their parts."""
    return connection.execute(
        """
        WITH believed (session, t_ns) AS (
            SELECT id, started_utc_ns FROM sessions
            UNION ALL SELECT id, alive_utc_ns FROM sessions
            UNION ALL SELECT session, t_from_utc_ns FROM clock_steps
            UNION ALL SELECT session, t_to_utc_ns FROM clock_steps
        ), touching (session) AS (
            SELECT session FROM believed GROUP BY session HAVING min(t_ns) < :until AND max(t_ns) >= :since
            UNION SELECT session FROM parts WHERE t_utc_ns >= :since AND t_utc_ns < :until
        )
        SELECT sessions.* FROM sessions JOIN touching ON touching.session = sessions.id ORDER BY sessions.id
        """,
        {"since": span[0], "until": span[1]},
    ).fetchall()


def _parts_of(connection: sqlite3.Connection, session: int, span: Span) -> tuple[int, int]:
    """How many parts of a session are in the range, and how many are not."""
    row = connection.execute(
        """
        SELECT count(*) FILTER (WHERE t_utc_ns >= :since AND t_utc_ns < :until), count(*) FROM parts
        WHERE session = :session AND id >= (SELECT first_part FROM sessions WHERE id = :session)
            AND id < coalesce((SELECT min(first_part) FROM sessions WHERE id > :session), 9e18)
        """,
        {"since": span[0], "until": span[1], "session": session},
    ).fetchone()
    return row[0], row[1] - row[0]


def _lost(connection: sqlite3.Connection, span: Span) -> int:
    """Part numbers without a record, from the last part before the range to the first one after it."""
    first, last = _first_and_last(connection, span)
    if last < first:
        return 0
    (rows,) = connection.execute("SELECT count(*) FROM parts WHERE id BETWEEN ? AND ?", (first, last)).fetchone()
    (unrecorded,) = connection.execute(
        "SELECT coalesce(sum(max(0, min(parts, min(last_part, ?) - max(first_part, ?) + 1))), 0) FROM outages "
        "WHERE first_part IS NOT NULL",
        (last, first),
    ).fetchone()
    return max(0, int(last - first + 1 - rows - unrecorded))


def _first_and_last(connection: sqlite3.Connection, span: Span) -> tuple[int, int]:
    def one(sql: str, *values: int) -> int | None:
        row = connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    lowest = one("SELECT min(id) FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ?", *span)
    highest = one("SELECT max(id) FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ?", *span)
    if lowest is not None and highest is not None:
        before = one("SELECT max(id) FROM parts WHERE id < ?", lowest)
        after = one("SELECT min(id) FROM parts WHERE id > ?", highest)
    else:
        before = one("SELECT id FROM parts WHERE t_utc_ns < ? ORDER BY t_utc_ns DESC LIMIT 1", span[0])
        after = one("SELECT id FROM parts WHERE t_utc_ns >= ? ORDER BY t_utc_ns LIMIT 1", span[1])
    kept = one("SELECT coalesce((SELECT max(last_part) FROM deletions) + 1, min(first_part)) FROM sessions")
    newest = one("SELECT max(max(last_part), coalesce((SELECT max(id) FROM parts), 0)) FROM sessions")
    return before + 1 if before is not None else kept or 1, after - 1 if after is not None else newest or 0
