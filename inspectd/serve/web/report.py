"""What Reports shows of a range: the journal's summary, rejects per interval, and what reviewers found."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Literal, get_args

from inspectd.binomial import interval
from inspectd.errors import JournalError
from inspectd.records.summary import Summary, findings, summarise
from inspectd.serve.web.charts import Limits, p_limits
from inspectd.serve.web.journal_reading import engine_of, journal_of
from inspectd.serve.web.live.shifts import ns, shift_at
from inspectd.serve.web.live.tally import Tally, count, together, unrecorded
from inspectd.serve.web.site import Site

Span = Literal["shift", "day", "week", "range"]
SPANS: tuple[Span, ...] = get_args(Span)
_LONGEST_DAYS = 366
_WITHIN_S = 30.0

_REVIEWED = """
SELECT verdict = 'pass', agreed = :pass_class, count(*) FROM reviews.labels
JOIN parts ON parts.id = part AND t_utc_ns = t_trigger_utc_ns
WHERE agreed IS NOT NULL AND t_utc_ns >= :since AND t_utc_ns < :until GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Range:
    """[since, until) in local time."""

    span: Span
    since: datetime
    until: datetime

    @property
    def before(self) -> datetime:
        """A moment in the range of the same kind before this one."""
        return self.since - timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """One point of the p-chart."""

    since: datetime
    parts: int
    rejected: int
    limits: Limits | None
    """None if there were no parts."""

    @property
    def is_outside(self) -> bool:
        """Other than chance explains, if every interval has the same share of rejects."""
        return self.limits is not None and not self.limits.low <= self.rejected / self.parts <= self.limits.high


@dataclass(frozen=True, slots=True)
class Found:
    """Of the reviewed ones of some labels, how many were judged wrongly."""

    wrong: int
    reviewed: int

    @property
    def bounds(self) -> tuple[float, float]:
        """Two-sided, 95 %, exact binomial."""
        return interval(self.wrong, self.reviewed)


@dataclass(frozen=True, slots=True)
class Report:
    """One range in figures."""

    range: Range
    summary: Summary
    problems: tuple[str, ...]
    """What is wrong with the records."""
    intervals: tuple[Interval, ...]
    rejects: Tally
    false_rejects: Found
    """Of the reviewed rejects, those that were good."""
    false_accepts: Found
    """Of the reviewed passes, those that were not good."""

    @property
    def groups(self) -> list[tuple[int, int]]:
        """(parts, rejected) per interval."""
        return [(each.parts, each.rejected) for each in self.intervals]


def read_range(query: dict[str, str], shifts: Sequence[time_of_day], now: datetime) -> Range:
    """The range that an address asks for. Raises ValueError in words."""
    span = query.get("span", "shift")
    if span == "range":
        return _days(_day("from", query.get("from", "")), _day("to", query.get("to", "")))
    try:
        at = datetime.fromisoformat(query["at"]).replace(tzinfo=None) if query.get("at") else now
        if not 2000 <= at.year <= 2200:
            raise ValueError
    except ValueError:
        raise ValueError("at: must be a local time between the years 2000 and 2200, such as 2026-11-28T06:00") from None
    midnight = datetime.combine(at.date(), time_of_day())
    match span:
        case "shift":
            return Range("shift", *shift_at(at, shifts))
        case "day":
            return Range("day", midnight, midnight + timedelta(days=1))
        case "week":
            monday = midnight - timedelta(days=midnight.weekday())
            return Range("week", monday, monday + timedelta(days=7))
    raise ValueError(f"span: allowed are {', '.join(SPANS)}")


def make_report(site: Site, asked: Range) -> Report:
    """Takes about 3 s per million parts. Raises JournalError, ReviewError, sqlite3.Error."""
    since_ns, until_ns = ns(asked.since), ns(asked.until)
    end_s = time.monotonic() + _WITHIN_S
    with journal_of(site) as connection:
        connection.set_progress_handler(lambda: int(time.monotonic() > end_s), 100_000)
        try:
            tallies = [(begin, _count(connection, begin, end)) for begin, end in _cut(asked)]
            rejects = together(tally for _, tally in tallies)
            summary = summarise(connection, since_ns, until_ns)
            engine = engine_of(site)
            reviewed = _reviewed(connection, since_ns, until_ns, "" if engine is None else engine.pass_class)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise JournalError(
                    f"the range has too many parts for {_WITHIN_S:.0f} s; choose a shorter one"
                ) from error
            raise
    share = rejects.rejected / rejects.parts if rejects.parts else 0.0
    return Report(
        range=asked,
        summary=summary,
        problems=tuple(findings(summary.accounts)),
        intervals=tuple(
            Interval(begin, tally.parts, tally.rejected, p_limits(share, tally.parts) if tally.parts else None)
            for begin, tally in tallies
        ),
        rejects=rejects,
        false_rejects=Found(reviewed[False, True], reviewed[False, True] + reviewed[False, False]),
        false_accepts=Found(reviewed[True, False], reviewed[True, True] + reviewed[True, False]),
    )


def _days(first: date, last: date) -> Range:
    if not timedelta() <= last - first <= timedelta(days=_LONGEST_DAYS):
        raise ValueError(
            f"from, to: the last day must be at most {_LONGEST_DAYS} days after the first one, and not before it"
        )
    begin = datetime.combine(first, time_of_day())
    return Range("range", begin, datetime.combine(last, time_of_day()) + timedelta(days=1))


def _day(key: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
        if not 2000 <= day.year <= 2200:
            raise ValueError
    except ValueError:
        raise ValueError(f"{key}: must be a day between the years 2000 and 2200, such as 2026-11-28") from None
    return day


def _cut(asked: Range) -> Iterator[tuple[datetime, datetime]]:
    """Hours of a day, quarters of a day of a week, days of a longer range. Nothing of the future."""
    length = asked.until - asked.since
    hours = 1 if length <= timedelta(days=2) else 6 if length <= timedelta(days=8) else 24
    begin, now = asked.since, datetime.now()
    while begin < min(asked.until, now):
        end = min(begin + timedelta(hours=hours), asked.until)
        yield begin, end
        begin = end


def _count(connection: sqlite3.Connection, begin: datetime, end: datetime) -> Tally:
    tally = count(connection, ns(begin), ns(end))
    for _, parts in unrecorded(connection, ns(begin), ns(end)):
        tally.rejects["missed", "record_error"] += parts
    return tally


def _reviewed(
    connection: sqlite3.Connection, since_ns: int, until_ns: int, pass_class: str
) -> dict[tuple[bool, bool], int]:
    """(whether it passed, whether its reviewers say that it is good) -> labels."""
    found = {(passed, good): 0 for passed in (False, True) for good in (False, True)}
    values = {"since": since_ns, "until": until_ns, "pass_class": pass_class}
    for passed, good, labels in connection.execute(_REVIEWED, values):
        found[bool(passed), bool(good)] = labels
    return found
