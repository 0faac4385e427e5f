"""How many parts there were per minute, by what became of them, and how their images looked. Only minutes in which a row has changed are counted again."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MINUTE_NS = 60 * 10**9

# `cause` names a verdict further: the guard's finding, the fault of a text, why there was no inspection, or the fault class.
_COUNT = """
SELECT verdict, coalesce(anomaly_kind, reason, CASE verdict WHEN 'fault' THEN class END, '') AS cause, count(*),
    total(brightness), count(brightness), total(sharpness), count(sharpness)
FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ? GROUP BY 1, 2
"""
_UNRECORDED = """
SELECT t_from_utc_ns, parts FROM outages WHERE parts > 0 AND t_from_utc_ns >= ? AND t_from_utc_ns < ?
"""


@dataclass(slots=True)
class Mean:
    """Of values that were added up."""

    total: float = 0.0
    n: int = 0

    def add(self, other: "Mean") -> None:
        self.total += other.total
        self.n += other.n

    @property
    def value(self) -> float | None:
        """None without values."""
        return self.total / self.n if self.n else None


@dataclass(slots=True)
class Tally:
    """Parts that were counted together."""

    passed: int = 0
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(verdict, cause) -> parts."""
    brightness: Mean = field(default_factory=Mean)
    sharpness: Mean = field(default_factory=Mean)

    @property
    def rejected(self) -> int:
        return self.rejects.total()

    @property
    def parts(self) -> int:
        return self.passed + self.rejected

    def add(self, other: "Tally") -> None:
        self.passed += other.passed
        self.rejects.update(other.rejects)
        self.brightness.add(other.brightness)
        self.sharpness.add(other.sharpness)


def together(tallies: Iterable[Tally]) -> Tally:
    """Their sum."""
    total = Tally()
    for each in tallies:
        total.add(each)
    return total


def count(connection: sqlite3.Connection, t_from_ns: int, t_to_ns: int) -> Tally:
    """The parts triggered in [t_from_ns, t_to_ns) that have a row. Raises sqlite3.Error."""
    tally = Tally()
    for verdict, cause, parts, *seen in connection.execute(_COUNT, (t_from_ns, t_to_ns)):
        tally.brightness.add(Mean(*seen[:2]))
        tally.sharpness.add(Mean(*seen[2:]))
        if verdict == "pass":
            tally.passed += parts
        else:
            tally.rejects[str(verdict), str(cause)] += parts
    return tally


def unrecorded(connection: sqlite3.Connection, t_from_ns: int, t_to_ns: int) -> Iterator[tuple[int, int]]:
    """(UTC ns, parts) that were rejected and have no row. Raises sqlite3.Error."""
    yield from connection.execute(_UNRECORDED, (t_from_ns, t_to_ns))


class Minutes:
    """The minutes from `since_ns` on. One thread at a time."""

    def __init__(self) -> None:
        self._tallies: dict[int, Tally] = {}
        self._stale: set[int] = set()
        self._since = self._until = 0

    @property
    def is_complete(self) -> bool:
        """Whether every minute was counted since its last change."""
        return not self._stale

    def cover(self, since_ns: int, until_ns: int) -> None:
        """Minutes that come into the range are counted at the next `refresh`; those that leave it are forgotten.

        If the clock is set back, the minutes after the new time leave it.
        """
        since, until = since_ns // MINUTE_NS, until_ns // MINUTE_NS + 1
        known = range(self._since, self._until)
        self._stale.update(minute for minute in range(since, until) if minute not in known)
        self._stale = {minute for minute in self._stale if since <= minute < until}
        self._tallies = {minute: tally for minute, tally in self._tallies.items() if since <= minute < until}
        self._since, self._until = since, until

    def changed(self, utc_ns: int) -> None:
        """A row of this time was added or changed."""
        if self._since <= (minute := utc_ns // MINUTE_NS) < self._until:
            self._stale.add(minute)

    def refresh(self, connection: sqlite3.Connection, within_s: float) -> None:
        """Count stale minutes, the newest first, until the time is over. Each is a short read of its own. Raises sqlite3.Error."""
        end_s = time.monotonic() + within_s
        for minute in sorted(self._stale, reverse=True):
            tally = count(connection, minute * MINUTE_NS, (minute + 1) * MINUTE_NS)
            for _, parts in unrecorded(connection, minute * MINUTE_NS, (minute + 1) * MINUTE_NS):
                tally.rejects["missed", "record_error"] += parts
            self._stale.discard(minute)
            if tally.parts:
                self._tallies[minute] = tally
            else:
                self._tallies.pop(minute, None)
            if time.monotonic() > end_s:
                return

    def total(self, since_ns: int) -> Tally:
        """All parts from this moment on, which is the beginning of a minute."""
        first = since_ns // MINUTE_NS
        return together(tally for minute, tally in self._tallies.items() if minute >= first)

    def groups(self, since_ns: int, until_ns: int, minutes: int) -> list[Tally]:
        """One tally per so many minutes, in order; the last one may be of fewer."""
        found = []
        for first in range(since_ns // MINUTE_NS, until_ns // MINUTE_NS + 1, minutes):
            found.append(
                together(self._tallies[each] for each in range(first, first + minutes) if each in self._tallies)
            )
        return found
