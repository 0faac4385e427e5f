import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.decision import Policy
from inspectd.errors import InferenceError
from inspectd.part import Fault, Pass, Scores, Uncertain

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


def test_the_verdict_bears_its_scores():
    for values, verdict in (([0, 0, 0.7], Pass), ([0.1, 0.9, 0.2], Fault), ([0.5, 0.1, 0.2], Uncertain)):
        assert POLICY.judge(values) == verdict(Scores(POLICY.classes, tuple(values)))
    assert POLICY.judge([0.1, 0.9, 0.2]).scores.predicted == "half"


@pytest.mark.parametrize("values", [[], [0.5], [0.1] * 4])
def test_a_wrong_number_of_scores_is_no_verdict(values):
    with pytest.raises(InferenceError, match=f"{len(values)} scores for 3 classes"):
        POLICY.judge(values)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 7, -1, 2, 1.00100001, -0.00100001])
def test_what_is_no_score_is_no_verdict(value, place):
    values = [0.2, 0.2, 0.2]
    values[place] = value
    with pytest.raises(InferenceError, match=r"scores outside 0..1: \[.*\]"):
        POLICY.judge(values)


@pytest.mark.parametrize("values", [[-0.001, 0.2, 1], [1, -0.001, -0.001], [1.001, 0.2, 0.2]])
def test_rounding_makes_no_engine_a_broken_one(values):
    assert POLICY.judge(values).scores.values == tuple(values)
