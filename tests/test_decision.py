import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.decision import Policy
from inspectd.errors import InferenceError
from inspectd.part import Pass, Uncertain

POLICY = Policy(("crooked", "half", "good"), "good", 0.6)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_only_a_certain_pass_class_passes(values):
    verdict = POLICY.judge(values)
    best = max(values)
    passes = best >= 0.6 and values.index(best) == 2
    tie = values.count(best) > 1
    assert isinstance(verdict, Pass) == (passes and not tie)
    assert isinstance(verdict, Uncertain) == (best < 0.6 or tie)


def test_a_tie_is_not_good():
    assert isinstance(POLICY.judge([0.9, 0.1, 0.9]), Uncertain)


def test_the_threshold_itself_is_certain_enough():
    assert isinstance(POLICY.judge([0, 0, 0.6]), Pass)


@pytest.mark.parametrize("values", [[], [0.5], [0.1] * 4, [0, 0, math.nan], [0, 0, math.inf], [0, 0, 7], [-1, 0, 1]])
def test_what_is_no_score_is_no_verdict(values):
    with pytest.raises(InferenceError):
        POLICY.judge(values)
