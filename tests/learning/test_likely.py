"""Which threshold is tried first."""

import numpy as np
import pytest

from inspectd.learning.fitting import as_careful
from inspectd.learning.likely import likeliest_threshold

GOOD = np.arange(80) % 2 == 0


@pytest.mark.parametrize("weight", [None, (1.0, 1.0), (3.0, 1.0)])
def test_it_is_between_the_good_and_the_bad_and_the_highest_of_equals(weight):
    certainty = np.where(GOOD, 0.8, 0.3)
    assert likeliest_threshold(GOOD, certainty, GOOD, weight) == 0.8


def test_no_more_pass_than_before():
    rng = np.random.default_rng(0)
    certainty = rng.random(50).astype(np.float32)
    for passed in (0, 7, 50):
        value = as_careful(np.arange(50) < passed, certainty)
        assert (certainty >= value).sum() == passed
    assert as_careful(np.zeros(0, bool), np.zeros(0)) < 1e-9
