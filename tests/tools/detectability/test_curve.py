"""POD curves: the same as fits written in another way, bounds that hold as often as they say, nothing beyond what was tried."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binom, chi2

from inspectd_tools.detectability.curve import Reached, fit


def draw(rng, n, a50, slope, smallest=3.0, largest=48.0):
    """Sizes evenly spread as logarithms, and hits with log-odds slope * ln(size / a50)."""
    sizes = smallest * (largest / smallest) ** ((rng.permutation(n) + 0.5) / n)
    return sizes.tolist(), (rng.random(n) < 1 / (1 + (sizes / a50) ** -slope)).tolist()


def log_likelihood(sizes, found, level, slope, *, penalised):
    """Written down as in Firth's paper, with the information matrix in full."""
    design = np.stack([np.ones(len(sizes)), np.log(sizes)], axis=1)
    chance = 1 / (1 + np.exp(-np.clip(design @ (level, slope), -300, 300)))
    likely = np.log(np.maximum(np.where(found, chance, 1 - chance), 1e-300)).sum()
    information = design.T @ (design * (chance * (1 - chance))[:, None])
    return likely + (0.5 * np.log(max(np.linalg.det(information), 1e-300)) if penalised else 0)


def best(sizes, found, *, penalised):
    def loss(line):
        return -log_likelihood(sizes, found, *line, penalised=penalised)

    solved = minimize(loss, (-5, 2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000})
    return solved.x, -solved.fun


@pytest.mark.parametrize(("n", "a50", "slope"), [(60, 12, 4), (150, 9, 8), (150, 12, 3)])
def test_the_estimates_are_those_of_a_fit_written_in_another_way(n, a50, slope):
    sizes, found = draw(np.random.default_rng(5), n, a50, slope)
    (level, steepness), _ = best(sizes, found, penalised=True)
    curve = fit(sizes, found)
    assert curve.reached(0.5).size == pytest.approx(np.exp(-level / steepness), rel=1e-3)
    assert curve.reached(0.9).size == pytest.approx(np.exp((np.log(9) - level) / steepness), rel=1e-3)


def test_with_many_tries_the_penalty_does_not_matter():
    sizes, found = draw(np.random.default_rng(6), 3000, 12, 5)
    (level, steepness), _ = best(sizes, found, penalised=False)
    curve = fit(sizes, found)
    assert curve.reached(0.5).size == pytest.approx(np.exp(-level / steepness), rel=2e-3)
    assert curve.surely_reached(0.9).size == pytest.approx(12 * 9 ** (1 / 5), rel=0.1)


def test_the_bound_is_where_the_likelihood_ratio_says():
    sizes, found = draw(np.random.default_rng(7), 100, 10, 5)
    bound = fit(sizes, found).surely_reached(0.9)
    _, highest = best(sizes, found, penalised=True)
    slopes = np.geomspace(0.5, 60, 4000)
    through = max(
        log_likelihood(sizes, found, np.log(9) - slope * np.log(bound.size), slope, penalised=True) for slope in slopes
    )
    assert 2 * (highest - through) == pytest.approx(chi2.ppf(0.9, 1), abs=0.02)


@pytest.mark.parametrize(("n", "a50", "slope"), [(60, 12, 8), (60, 9, 40), (120, 12, 4)])
def test_the_bound_is_above_the_true_size_as_often_as_it_says(n, a50, slope):
    rng, draws = np.random.default_rng(8), 120
    truth = a50 * 9 ** (1 / slope)
    bounds = [fit(*draw(rng, n, a50, slope)).surely_reached(0.9) for _ in range(draws)]
    held = sum(bound.relation == "above" or bound.size >= truth for bound in bounds)
    assert held >= binom.ppf(0.01, draws, 0.95)


SIZES = [3.0, 4.0, 6.0, 9.0, 14.0]


def test_nothing_is_said_of_sizes_that_were_not_tried():
    sizes = SIZES * 20
    every = fit(sizes, [True] * 100)
    assert every.reached(0.5) == every.reached(0.9) == every.surely_reached(0.9) == Reached(3, "at most")
    none = fit(sizes, [False] * 100)
    assert none.reached(0.5) == none.reached(0.9) == none.surely_reached(0.9) == Reached(14, "above")


def test_too_few_tries_show_nothing_for_sure():
    few = fit(SIZES * 2, [True] * 10)
    assert few.reached(0.9) == Reached(3, "at most")
    assert few.surely_reached(0.9) == Reached(14, "above")


def test_if_all_from_one_size_on_are_found_the_bound_is_near_it():
    curve = fit(SIZES * 20, [size >= 6 for size in SIZES] * 20)
    assert curve.reached(0.5).size == pytest.approx(np.sqrt(4 * 6), rel=0.05)
    assert 4 < curve.reached(0.9).size < curve.surely_reached(0.9).size < 6.5


def test_larger_faults_that_are_found_less_often_are_no_rising_curve():
    curve = fit(SIZES * 20, [size < 6 for size in SIZES] * 20)
    assert np.ptp(curve.pod(np.array(SIZES))) < 1e-6
    assert curve.surely_reached(0.9).relation == "above"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 120), st.floats(3, 40), st.floats(1, 20), st.floats(0.1, 100))
def test_bounds_are_in_order_and_do_not_depend_on_the_unit(seed, n, a50, slope, unit):
    sizes, found = draw(np.random.default_rng(seed), n, a50, slope)
    curve, other = fit(sizes, found), fit([size * unit for size in sizes], found)
    half, most, sure = curve.reached(0.5), curve.reached(0.9), curve.surely_reached(0.9)
    assert half.size <= most.size <= sure.size * 1.0001
    places = np.geomspace(curve.smallest, curve.largest, 5)
    assert (curve.lower_bound(places) <= curve.pod(places) + 1e-6).all()
    assert (np.diff(curve.pod(places)) >= 0).all()
    assert other.surely_reached(0.9).relation == sure.relation
    assert other.surely_reached(0.9).size == pytest.approx(sure.size * unit, rel=0.01)


@pytest.mark.parametrize("sizes", [[], [3.0, 3.0], [0.0, 3.0]])
def test_sizes_that_give_no_curve_are_refused(sizes):
    with pytest.raises(ValueError, match="two different sizes above 0"):
        fit(sizes, [True] * len(sizes))
