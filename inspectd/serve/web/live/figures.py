"""What the Line page shows of the journal: the last rejects, and the figures of the day and the shift.

Every read is short, so that it never holds up the line's own work on the file.
"""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from typing import Any, TypeVar

from inspectd.serve.following import is_alive
from inspectd.serve.web.live.shifts import ns, shift_at
from inspectd.serve.web.live.tally import MINUTE_NS, Mean, Minutes, Tally

REJECTS = 20
_LAST_PARTS = 1000
_SPARK_MINUTES = 60
_GROUP_MINUTES = 10
_LEAST_MINUTES = 10
"""A normal range is named after so many full minutes with labels."""
_LEAST_DIFFERENCE = 0.05
"""Of brightness and sharpness, as a share: nobody needs to look at less."""

_Number = TypeVar("_Number", int, float)

_PARTS = "SELECT parts.*, engines.name AS engine_name FROM parts JOIN engines ON engines.id = parts.engine"
_LAST_REJECTS = f"{_PARTS} WHERE verdict <> 'pass' ORDER BY parts.id DESC LIMIT {REJECTS}"
_LAST_IMAGE = f"""{_PARTS} WHERE parts.id > (SELECT max(id) FROM parts) - {_LAST_PARTS} AND image IS NOT NULL
ORDER BY parts.id DESC LIMIT 1"""  # noqa: S608

MOST_WAITING = 100
_WAITING = f"""
SELECT count(*) FROM (
    SELECT 1 FROM parts WHERE verdict <> 'pass' AND (class IS NOT NULL OR image IS NOT NULL)
        AND (id, t_utc_ns) NOT IN (SELECT part, t_trigger_utc_ns FROM reviews.labels WHERE reviewers > 0) LIMIT {MOST_WAITING}
)
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Session:
    """The last run of the line."""

    is_alive: bool
    t_seen_utc_ns: int
    """Its last sign of life."""
    ended_cleanly: bool
    stop: tuple[tuple[str, ...], int] | None
    """(reasons, UTC ns of the first) of the latched stop that nobody has acknowledged. Another reason may come while it lasts."""
    outage: tuple[str, int, str] | None
    """(kind, UTC ns, the cause in a sentence) of an outage that lasts."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A value that is good if it is as usual."""

    now: float | None
    """Mean of the last one to two minutes; None if nothing was measured then."""
    usual: tuple[float, float] | None
    """Nine of ten full minutes of the last 8 hours had such a mean."""

    @property
    def differs(self) -> int:
        """1: clearly more than usual; -1: clearly less. By half of the usual range, and by 5 %."""
        if self.now is None or self.usual is None:
            return 0
        low, high = self.usual
        margin = max((high - low) / 2, _LEAST_DIFFERENCE * high)
        return int(self.now > high + margin) - int(self.now < low - margin)


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at the journal."""

    t_utc_ns: int
    """When."""
    session: Session | None
    newest_part: int | None
    newest_utc_ns: int | None
    per_minute: int
    """Labels of the last 60 s."""
    usual_per_minute: tuple[int, int] | None
    """Nine of ten full minutes of the last 8 hours had as many labels."""
    rates: tuple[int, ...]
    """Labels per minute of the last hour."""
    today: Tally
    shift: Tally
    shift_since: datetime
    groups: tuple[tuple[int, int], ...]
    """(parts, rejected) per 10 minutes of the shift."""
    verdict_p99_ms: float | None
    lateness_p99_ms: float | None
    brightness: Watched
    """Share of white."""
    sharpness: Watched
    is_counted: bool
    """False while the parts of the day are still counted, after the start of the page."""


class Look:
    """Looks at an open journal about once a second. One thread at a time."""

    def __init__(self, connection: sqlite3.Connection, shifts: Sequence[time_of_day]) -> None:
        """`connection` gives rows by column name."""
        self._connection = connection
        self._shifts = shifts
        self._minutes = Minutes()

    def changed(self, utc_ns: int) -> None:
        """A part triggered at this time was added or changed."""
        self._minutes.changed(utc_ns)

    def figures(self, within_s: float = 0.1) -> Figures:
        """`within_s`: time for counting; what is not counted then is counted at the next look. Raises sqlite3.Error."""
        now_ns = time.time_ns()
        now = datetime.fromtimestamp(now_ns / 1e9)
        shift_since, _ = shift_at(now, self._shifts)
        midnight_ns, shift_ns = ns(datetime.combine(now.date(), time_of_day())), ns(shift_since)
        self._minutes.cover(min(midnight_ns, shift_ns, now_ns - 8 * 60 * MINUTE_NS), now_ns)
        self._minutes.refresh(self._connection, within_s)
        newest = self._connection.execute("SELECT id, t_utc_ns FROM parts ORDER BY id DESC LIMIT 1").fetchone()
        (per_minute,) = self._connection.execute(
            "SELECT count(*) FROM parts WHERE t_utc_ns > ? AND t_utc_ns <= ?", (now_ns - MINUTE_NS, now_ns)
        ).fetchone()
        minutes = self._minutes.groups(now_ns - 8 * 60 * MINUTE_NS, now_ns, 1)
        rates = [tally.parts for tally in minutes]
        return Figures(
            t_utc_ns=now_ns,
            session=session_of(self._connection),
            newest_part=newest and newest["id"],
            newest_utc_ns=newest and newest["t_utc_ns"],
            per_minute=per_minute,
            usual_per_minute=_usual([rate for rate in rates[:-1] if rate]),
            rates=tuple(rates[-_SPARK_MINUTES - 1 : -1]),
            today=self._minutes.total(midnight_ns),
            shift=self._minutes.total(shift_ns),
            shift_since=shift_since,
            groups=tuple(
                (tally.parts, tally.rejected) for tally in self._minutes.groups(shift_ns, now_ns, _GROUP_MINUTES)
            ),
            verdict_p99_ms=self._p99_ms("verdict_us"),
            lateness_p99_ms=self._p99_ms("gate_lateness_us"),
            brightness=_watched([tally.brightness for tally in minutes]),
            sharpness=_watched([tally.sharpness for tally in minutes]),
            is_counted=self._minutes.is_complete,
        )

    def _p99_ms(self, column: str) -> float | None:
        """Of the last 1000 parts."""
        assert column in ("verdict_us", "gate_lateness_us")
        rows = self._connection.execute(f"SELECT {column} FROM parts ORDER BY id DESC LIMIT {_LAST_PARTS}")  # noqa: S608
        values = sorted(value for (value,) in rows if value is not None)
        return values[int(0.99 * (len(values) - 1))] / 1000 if values else None


def session_of(connection: sqlite3.Connection) -> Session | None:
    """The last session; None if there is none. Raises sqlite3.Error."""
    row = connection.execute("SELECT * FROM sessions ORDER BY id DESC LIMIT 1").fetchone()
    if row is None:
        return None
    stops = connection.execute(
        "SELECT reason, t_utc_ns FROM stops WHERE session = ? AND acknowledged_utc_ns IS NULL ORDER BY id", (row["id"],)
    ).fetchall()
    outage = connection.execute(
        "SELECT kind, t_from_utc_ns, detail FROM outages WHERE session = ? AND t_to_utc_ns IS NULL "
        "AND kind IN ('camera', 'output') ORDER BY id LIMIT 1",
        (row["id"],),
    ).fetchone()
    return Session(
        is_alive=is_alive(dict(row)),
        t_seen_utc_ns=row["alive_utc_ns"],
        ended_cleanly=bool(row["ended_cleanly"]),
        stop=(tuple(dict.fromkeys(stop["reason"] for stop in stops)), stops[0]["t_utc_ns"]) if stops else None,
        outage=tuple(outage) if outage else None,
    )


def last_rejects(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The rows of the last rejected parts with their texts, the newest first. Raises sqlite3.Error."""
    return [_with_texts(connection, row) for row in connection.execute(_LAST_REJECTS).fetchall()]


def waiting_for_review(connection: sqlite3.Connection) -> int:
    """How many rejects nobody has decided on, counted up to `MOST_WAITING`. The reviews are attached. Raises sqlite3.Error."""
    (waiting,) = connection.execute(_WAITING).fetchone()
    return int(waiting)


def last_image(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """The row of the newest part with an image, among the last 1000. Raises sqlite3.Error."""
    row = connection.execute(_LAST_IMAGE).fetchone()
    return None if row is None else _with_texts(connection, row)


def _with_texts(connection: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    texts = connection.execute("SELECT * FROM texts WHERE part = ? ORDER BY field", (row["id"],)).fetchall()
    return {**dict(row), "texts": [dict(text) for text in texts]}


def _watched(minutes: Sequence[Mean]) -> Watched:
    """One mean per minute; the last minute is not over."""
    now = Mean()
    for minute in minutes[-2:]:
        now.add(minute)
    return Watched(now.value, _usual([minute.value for minute in minutes[:-2] if minute.value is not None]))


def _usual(values: Sequence[_Number]) -> tuple[_Number, _Number] | None:
    """From the 5th to the 95th percentile of minutes with labels; None if there are too few."""
    ordered = sorted(values)
    if len(ordered) < _LEAST_MINUTES:
        return None
    return ordered[int(0.05 * (len(ordered) - 1))], ordered[int(0.95 * (len(ordered) - 1))]
