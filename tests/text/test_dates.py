"""Dates against independent calendar arithmetic: short months, 29 February, ISO weeks, and both changes of summer time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspectd.text.dates import DIRECTIVES, begin_s, check_format, day_at, formatted, parse_shift, shifted

BERLIN = ZoneInfo("Europe/Berlin")
_ZONES = st.sampled_from(
    [
        "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/Santiago",
        "Africa/Casablanca", "America/Asuncion",
    ]
).map(ZoneInfo)  # fmt: skip
_DAYS = st.dates(date(1995, 1, 1), date(2095, 12, 31))
_TIMES = st.times(max_value=time(23, 59)).map(lambda each: each.replace(second=0, microsecond=0))
_SECONDS = st.integers(946_684_800, 2_000_000_000)


def test_only_the_day_of_a_month_that_is_too_short_changes():
    assert shifted(date(2027, 1, 31), parse_shift("+1 month")) == date(2027, 2, 28)
    assert shifted(date(2028, 1, 31), parse_shift("+1 month")) == date(2028, 2, 29)
    assert shifted(date(2028, 2, 29), parse_shift("+12 months")) == date(2029, 2, 28)
    assert shifted(date(2028, 2, 29), parse_shift("+4 years")) == date(2032, 2, 29)
    assert shifted(date(2026, 11, 27), parse_shift("+24 months"), end_of_month=True) == date(2028, 11, 30)
    assert shifted(date(2026, 12, 31), parse_shift("+2 months -1 day")) == date(2027, 2, 27)


@given(_DAYS, st.integers(-600, 600), st.integers(-2000, 2000), st.booleans())
def test_a_shift_is_calendar_arithmetic(day, months, days, end_of_month):
    """The reference walks through the calendar day by day."""
    found = shifted(day, (months, 0), end_of_month=end_of_month)
    there = day.year * 12 + day.month - 1 + months
    first = date(there // 12, there % 12 + 1, 1)
    in_month = [each for n in range(31) if (each := first + timedelta(n)).month == first.month]
    assert found == (in_month[-1] if end_of_month else in_month[: day.day][-1])
    assert shifted(day, (months, days)) - shifted(day, (months, 0)) == timedelta(days)
    assert shifted(day, parse_shift(f"{months:+} months {days:+} days")) == shifted(day, (months, days))


@pytest.mark.parametrize(
    "text", ["24 months", "+24", "+ months", "+1 hour", "+1 month, -1 day", "+2000 years", "+1.5 years"]
)
def test_other_shifts_are_refused(text):
    with pytest.raises(ValueError, match="must be"):
        parse_shift(text)


@given(_DAYS)
@example(date(2026, 12, 31))
@example(date(2027, 1, 1))
@example(date(2024, 12, 30))
def test_directives_mean_what_they_mean_to_strftime(day):
    for name in DIRECTIVES.keys() - {"^b"}:
        assert formatted(day, f"%{name}") == day.strftime(f"%{name}"), name
    assert formatted(day, "BB %^b") == day.strftime("BB %b").upper()


def test_the_week_of_new_year_may_belong_to_the_other_year():
    assert formatted(date(2027, 1, 1), "%V/%G-%u") == "53/2026-5"
    assert formatted(date(2024, 12, 30), "%V/%g") == "01/25"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%d.%M.%Y", "%M is not allowed; allowed are %d"),
        ("%c", "%c is not allowed"),
        ("%-d", "%- is not allowed"),
        ("%", "% is not allowed"),
        ("BEST BEFORE", "must contain a directive"),
        ("100%%", "must contain a directive"),
        ("%V/%Y", "must not mix"),
        ("%G-%m-%d", "must not mix"),
        ("%G", "year of an ISO week"),
    ],
)
def test_other_formats_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        check_format(text)


def utc_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "begins", "day"),
    [
        ("2026-11-27T23:59:59+01:00", "00:00", "2026-11-27"),
        ("2026-11-28T00:00:00+01:00", "00:00", "2026-11-28"),
        ("2026-11-28T05:59:59+01:00", "06:00", "2026-11-27"),
        ("2026-11-28T06:00:00+01:00", "06:00", "2026-11-28"),
        # 29 March 2026: 02:00 becomes 03:00, and 02:30 does not exist
        ("2026-03-29T01:59:59+01:00", "02:30", "2026-03-28"),
        ("2026-03-29T03:00:00+02:00", "02:30", "2026-03-29"),
        # 25 October 2026: 03:00 becomes 02:00; the day begins at the first 02:30 and stays
        ("2026-10-25T02:29:59+02:00", "02:30", "2026-10-24"),
        ("2026-10-25T02:30:00+02:00", "02:30", "2026-10-25"),
        ("2026-10-25T02:00:00+01:00", "02:30", "2026-10-25"),
        ("2026-10-25T02:30:00+01:00", "02:30", "2026-10-25"),
        ("2026-10-25T23:59:59+01:00", "00:00", "2026-10-25"),
        ("2026-10-26T00:00:00+01:00", "00:00", "2026-10-26"),
    ],
)
def test_a_day_begins_when_the_wall_clock_shows_its_hour(moment, begins, day):
    assert day_at(utc_s(moment), BERLIN, time.fromisoformat(begins)) == date.fromisoformat(day)


@given(_SECONDS, st.integers(0, 40 * 3600), _ZONES, _TIMES)
def test_days_follow_each_other(moment, later, zone, begins):
    day, next_day = day_at(moment, zone, begins), day_at(moment + later, zone, begins)
    assert day <= next_day <= day + timedelta(3)
    assert begin_s(day, zone, begins) <= moment
    # a day on which the whole calendar was changed has no moment of its own
    assert begin_s(day + timedelta(1), zone, begins) > moment


@given(_SECONDS, _ZONES, _TIMES)
@example(1_774_746_000, BERLIN, time(2, 30))
@example(1_792_888_200, BERLIN, time(2, 30))
def test_the_first_moment_of_a_day_is_the_first_with_its_hour_on_the_wall(moment, zone, begins):
    """The reference looks at each minute around it."""
    day = day_at(moment, zone, begins)
    begin = begin_s(day, zone, begins)
    wall = datetime.combine(day, begins)

    def shows(utc: int) -> datetime:
        return datetime.fromtimestamp(utc, UTC).astimezone(zone).replace(tzinfo=None)

    assert shows(begin) >= wall
    assert all(shows(begin - 60 * minute) < wall for minute in range(1, 181))
