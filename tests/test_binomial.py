import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inspectd.binomial import interval, mcnemar, upper_bound


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


@settings(deadline=None)
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


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    # R: exact2x2::mcnemar.exact, that is binom.test(only_first, only_first + only_second)$p.value
    [(0, 0, 1.0), (0, 5, 0.0625), (1, 9, 0.021484375), (3, 12, 0.03515625), (10, 10, 1.0)],
)
def test_mcnemar_agrees_with_published_values(only_first, only_second, p):
    assert mcnemar(only_first, only_second) == pytest.approx(p)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_share_of_coin_tosses_at_least_as_uneven(only_first, only_second):
    n, few = only_first + only_second, min(only_first, only_second)
    as_uneven = sum(math.comb(n, k) for k in range(n + 1) if min(k, n - k) <= few)
    assert mcnemar(only_first, only_second) == pytest.approx(float(Fraction(as_uneven, 2**n)), rel=1e-9)


@given(st.integers(1, 3000), st.data(), st.floats(0.5, 0.999))
def test_bounds_are_the_quantiles_of_the_beta_distribution(n, data, confidence):
    errors = data.draw(st.integers(0, n))
    expected = stats.beta.ppf(confidence, errors + 1, n - errors) if errors < n else 1.0
    assert upper_bound(errors, n, confidence) == pytest.approx(expected, rel=1e-7, abs=1e-15)
    low, high = stats.binomtest(errors, n).proportion_ci(confidence, method="exact")
    assert interval(errors, n, confidence) == pytest.approx((low, high), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(("errors", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_what_cannot_be_counted_is_refused(errors, n):
    with pytest.raises(ValueError, match=f"{errors} errors of {n}"):
        upper_bound(errors, n)
