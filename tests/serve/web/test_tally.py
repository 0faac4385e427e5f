"""Counts per minute, shifts and charts."""

from contextlib import closing
from datetime import datetime, time, timedelta
from time import time_ns

from hypothesis import given
from hypothesis import strategies as st

from inspectd.records.journal import Journal, JournalConfig
from inspectd.records.reading import open_for_reading
from inspectd.serve.web.charts import p_chart, p_limits
from inspectd.serve.web.live.shifts import shift_at
from inspectd.serve.web.live.tally import MINUTE_NS, Minutes
from inspectd.serve.web.wording import percent
from tests.serve.web.conftest import write_parts


@given(st.datetimes(), st.lists(st.times().map(lambda t: t.replace(second=0, microsecond=0)), min_size=1, max_size=5))
def test_every_moment_is_in_one_shift_of_at_most_a_day(moment, begins):
    if not datetime(2, 1, 1) < moment < datetime(9998, 1, 1):
        return
    first, end = shift_at(moment, begins)
    assert first <= moment < end <= first + timedelta(days=1)
    assert shift_at(end, begins)[0] == end


def test_the_night_shift_goes_over_midnight():
    begins = (time(6), time(14), time(22))
    assert shift_at(datetime(2026, 11, 28, 1), begins) == (datetime(2026, 11, 27, 22), datetime(2026, 11, 28, 6))


def test_a_clock_that_is_set_back_leaves_no_labels_of_the_future(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(JournalConfig(path=path))
    journal.use_engine("toy", "0" * 64)
    now_ns, hour_ns = time_ns(), 60 * MINUTE_NS
    write_parts(journal, tmp_path, 3)
    journal.close()
    minutes = Minutes()
    with closing(open_for_reading(path)) as connection:
        for back_ns, parts in ((0, 3), (24 * hour_ns, 0), (0, 3)):
            t_ns = now_ns - back_ns
            minutes.cover(t_ns - hour_ns, t_ns + MINUTE_NS)
            minutes.refresh(connection, within_s=5)
            assert minutes.total(t_ns - hour_ns).parts == parts


def test_control_limits_are_those_of_the_textbook():
    """Montgomery, Introduction to Statistical Quality Control, 7th ed., example 7.1."""
    limits = p_limits(0.2313, 50)
    assert (round(limits.low, 4), round(limits.high, 4)) == (0.0524, 0.4102)


def test_a_point_outside_the_limits_is_a_cross():
    chart = p_chart([(100, 2)] * 9 + [(100, 30), (0, 0)], "Rejects")
    assert chart.count("chart-outside") == 1
    assert chart.count("chart-point") == 9
    assert "1 of 10 points outside" in chart


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)).map(lambda pair: (max(pair), min(pair)))))
def test_any_counts_make_a_chart(groups):
    assert "nan" not in p_chart(groups, "Rejects").lower()


def test_only_all_is_100_percent():
    assert [percent(share) for share in (1, 0.99999, 0.00001, 0)] == [
        "100.0\u202f%",
        "99.9\u202f%",
        "0.1\u202f%",
        "0.0\u202f%",
    ]
