"""When a shift begins and ends, in local time."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta


def shift_at(moment: datetime, begins: Sequence[time]) -> tuple[datetime, datetime]:
    """[from, to) of the shift in which a local time is. `begins`: when shifts begin each day; at least one.

    In the night in which the clocks change, real time counts: an hour that comes twice does not bring a shift back.
    """
    days = [moment.date() + timedelta(days=each) for each in (-1, 0, 1)]
    edges = [datetime.combine(day, begin) for day in days for begin in sorted(begins)]
    first = max((edge for edge in edges if edge.timestamp() <= moment.timestamp()), key=datetime.timestamp)
    return first, min((edge for edge in edges if edge.timestamp() > first.timestamp()), key=datetime.timestamp)


def ns(moment: datetime) -> int:
    """UTC ns of a local time."""
    return round(moment.timestamp()) * 10**9
