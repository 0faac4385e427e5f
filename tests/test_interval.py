import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.interval import interval, upper_bound


@pytest.mark.parametrize("n", [1, 10, 59, 299, 5000])
def test_nothing_of_n_gives_the_closed_form(n):
    assert upper_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-9)


@pytest.mark.parametrize(
    ("errors", "n", "low", "high"),
    # R: binom.test(errors, n)$conf.int
    [(3, 20, 0.0320709, 0.3789268), (1, 10, 0.0025286, 0.4450161), (0, 10, 0.0, 0.3084971), (10, 10, 0.6915029, 1.0)],
)
def test_agrees_with_published_intervals(errors, n, low, high):
    assert interval(errors, n) == pytest.approx((low, high), abs=2e-6)


@given(st.integers(1, 2000), st.data())
def test_holds_the_rate_and_grows_with_it(n, data):
    errors = data.draw(st.integers(0, n))
    low, high = interval(errors, n)
    assert 0 <= low <= errors / n <= high <= 1
    assert not math.isnan(high)
    if errors < n:
        assert upper_bound(errors, n) <= upper_bound(errors + 1, n)


def test_more_errors_than_trials_are_refused():
    with pytest.raises(ValueError, match="3 errors of 2"):
        upper_bound(3, 2)


def test_no_trials_say_nothing():
    assert interval(0, 0) == (0.0, 1.0)
