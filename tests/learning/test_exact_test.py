"""The test errs as seldom as it says, and more evidence never counts against it."""

import math

import numpy as np
import pytest

from inspectd.learning.exact_test import p_value

MARGIN = 0.1


def chance(errors: int, n: int, share: float) -> float:
    return math.comb(n, errors) * share**errors * (1 - share) ** (n - errors)


@pytest.mark.parametrize(("weight", "n1", "n2"), [(0.5, 12, 8), (0.8, 30, 3), (0.95, 40, 2), (0.6, 8, 15)])
def test_whatever_the_true_shares_it_is_wrong_in_at_most_5_percent(weight, n1, n2):
    p = np.array([[p_value((x1, n1), (x2, n2), weight, MARGIN) for x2 in range(n2 + 1)] for x1 in range(n1 + 1)])
    assert (np.diff(p, axis=0) >= -1e-9).all()
    assert (np.diff(p, axis=1) <= 1e-9).all()
    for p2 in np.linspace(0, 1, 57):
        p1 = (MARGIN + (1 - weight) * p2) / weight
        if p1 <= 1:
            first, second = ([chance(x, n, s) for x in range(n + 1)] for n, s in ((n1, p1), (n2, p2)))
            assert np.array(first) @ (p <= 0.05) @ np.array(second) <= 0.0501


def test_with_one_group_it_is_the_binomial_test():
    for errors, n in ((0, 29), (2, 60), (5, 5)):
        below = sum(chance(x, n, MARGIN) for x in range(errors + 1))
        assert p_value((errors, n), (0, 0), 1.0, MARGIN) == pytest.approx(below)


def test_a_group_too_small_to_matter_needs_no_proof():
    assert p_value((3, 3), (0, 5), 0.1, MARGIN) == 0
