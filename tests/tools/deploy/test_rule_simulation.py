"""The bound of the threshold is broken in at most 5 % of the calibration sets; with a mistake put back, it is broken more often."""

import pytest
from scipy.stats import binom

from tests.tools.deploy.rule_simulation import MISTAKES, SETTINGS, broken, rule

DRAWS = 1000
MOST = binom.ppf(0.999, DRAWS, 0.05)
"""A rule that breaks exactly 5 % exceeds this in 1 of 1000 simulations."""


@pytest.mark.parametrize("name", SETTINGS)
def test_the_bound_is_broken_in_at_most_5_percent_of_1000_calibration_sets(name):
    assert broken(SETTINGS[name], rule, DRAWS) <= MOST


def test_the_rule_wastes_no_photo():
    """So careful a bound would cost good labels."""
    assert broken(SETTINGS["plain"], rule, DRAWS) >= DRAWS * 0.03


@pytest.mark.parametrize("name", MISTAKES)
def test_the_simulation_sees_each_mistake(name):
    """Already in fewer draws than the rule has to stand."""
    thresholds, setting = MISTAKES[name]
    assert broken(setting, thresholds, DRAWS // 3) > MOST / 3 + 10
