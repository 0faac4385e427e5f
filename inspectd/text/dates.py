"""The date that a label must bear: the production day at the trigger, shifted, and written in a format.

The week is that of ISO 8601. A month is added as most printers do: the day stays, or becomes the last day of a shorter month.
"""

import calendar
import re
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_TERM = re.compile(r"\s*([+-])\s*(\d{1,5})\s+(day|week|month|year)s?")
_DIRECTIVE = re.compile(r"%(\^?.|$)", re.DOTALL)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Always English: the locale of the computer must not change what a label must bear."""
DIRECTIVES: dict[str, tuple[str, Callable[[date], str]]] = {
    "d": ("day of the month, 01 to 31", lambda day: f"{day.day:02}"),
    "m": ("month, 01 to 12", lambda day: f"{day.month:02}"),
    "b": ("month, Jan to Dec", lambda day: _MONTHS[day.month - 1]),
    "^b": ("month, JAN to DEC", lambda day: _MONTHS[day.month - 1].upper()),
    "Y": ("year, 2026", lambda day: f"{day.year:04}"),
    "y": ("year, 26", lambda day: f"{day.year % 100:02}"),
    "j": ("day of the year, 001 to 366", lambda day: f"{day.timetuple().tm_yday:03}"),
    "G": ("year of the ISO week, 2026", lambda day: f"{day.isocalendar().year:04}"),
    "g": ("year of the ISO week, 26", lambda day: f"{day.isocalendar().year % 100:02}"),
    "V": ("ISO week, 01 to 53", lambda day: f"{day.isocalendar().week:02}"),
    "u": ("day of the week, 1 (Monday) to 7", lambda day: str(day.isoweekday())),
    "%": ("a percent sign", lambda day: "%"),
}
_OF_WEEK = frozenset("GgV")
_OF_CALENDAR = frozenset(["d", "m", "b", "^b", "Y", "y", "j"])

Shift = tuple[int, int]
"""Months, then days."""


def parse_shift(text: str) -> Shift:
    """`+24 months`, `+1 year -1 day`. Raises ValueError."""
    months = days = end = 0
    while end < len(text.rstrip()):
        term = _TERM.match(text, end)
        if term is None:
            raise ValueError(
                "must be like '+24 months' or '+1 year -1 day': a sign, a number, and days, weeks, months or years"
            )
        end = term.end()
        number = int(term[1] + term[2])
        match term[3]:
            case "day":
                days += number
            case "week":
                days += 7 * number
            case "month":
                months += number
            case "year":
                months += 12 * number
    if abs(months) > 12 * 100 or abs(days) > 366 * 100:
        raise ValueError("must be at most 100 years")
    return months, days


def shifted(day: date, shift: Shift, *, end_of_month: bool = False) -> date:
    """First the months, then the days, then the end of the month. 31 January + 1 month = 28 or 29 February."""
    months, days = shift
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    day = date(year, month + 1, min(day.day, _days(year, month + 1))) + timedelta(days)
    return day.replace(day=_days(day.year, day.month)) if end_of_month else day


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def check_format(text: str) -> str:
    """The format. Raises ValueError if the text would be the same every day, or a directive is not about a day."""
    used = set(_DIRECTIVE.findall(text))
    if unknown := sorted(used - DIRECTIVES.keys()):
        raise ValueError(f"%{unknown[0]} is not allowed; allowed are {', '.join(f'%{name}' for name in DIRECTIVES)}")
    if not used - {"%"}:
        raise ValueError("must contain a directive such as %d.%m.%Y: without one, the text is the same every day")
    if used & _OF_WEEK and used & _OF_CALENDAR:
        raise ValueError(
            "must not mix the ISO week with the calendar: around New Year %V belongs to the year %G, which may differ from %Y"
        )
    if used & frozenset("Gg") and "V" not in used:
        raise ValueError("%G and %g are the year of an ISO week: write %Y or %y, or add %V")
    return text


def formatted(day: date, text: str) -> str:
    return _DIRECTIVE.sub(lambda found: DIRECTIVES[found[1]][1](day), text)


def day_at(utc_s: float, zone: ZoneInfo, begins: time) -> date:
    """The production day at this time: it begins when the clock on the wall first shows `begins`, and lasts until the next one."""
    day = datetime.fromtimestamp(utc_s, zone).date() + timedelta(1)
    while begin_s(day, zone, begins) > utc_s:
        day -= timedelta(1)
    return day


@lru_cache(maxsize=64)
def begin_s(day: date, zone: ZoneInfo, begins: time) -> int:
    """UTC seconds at which the wall clock first shows `begins` of this day or later. An hour may be missing, or come twice."""
    wall = datetime.combine(day, begins)
    first, second = (round(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    if first <= second:
        return first
    moments = range(second, first + 1)
    return moments[bisect_left(moments, True, key=lambda utc_s: _wall(utc_s, zone) >= wall)]


def _wall(utc_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(utc_s, UTC).astimezone(zone).replace(tzinfo=None)
