"""How many photos prove what, and what they prove."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.learning.not_worse import MARGIN, Paired, photos_to_show
from inspectd.learning.wanted import reviewed_to_show, wanted

COUNTS = st.lists(st.integers(0, 40), min_size=4, max_size=4)


def test_the_first_goal_is_what_the_proof_needs():
    assert wanted({}, "good")[0].startswith(f"{reviewed_to_show(MARGIN)} more faulty or unknown ones: ")
    least = photos_to_show(MARGIN)
    assert Paired(least, 0).is_shown
    assert not Paired(least - 1, 0).is_shown


def test_unknown_ones_count_as_faulty_ones():
    both = wanted({"good": 400, "crack": 20, "unknown": 15}, "good")
    assert (
        both[0]
        == wanted({"crack": 35}, "good")[0]
        == ("23 more faulty or unknown ones: proves that at most 10% more of the faulty or unknown ones pass than now")
    )


def test_nothing_is_wanted_when_all_is_shown():
    assert wanted({"good": 1000, "crack": 1000}, "good") == []


@settings(max_examples=40)
@given(COUNTS)
def test_a_new_error_never_helps_and_a_mended_one_never_harms(counts):
    right, new_errors, wrong, mended = counts
    here = Paired(right + new_errors + 1, new_errors, wrong + mended + 1, mended, 0.6)
    assert replace(here, new_errors=new_errors + 1).difference_at_most >= here.difference_at_most
    assert replace(here, mended=mended + 1).difference_at_most <= here.difference_at_most
    assert replace(here, share_right=1.0).is_shown <= here.is_shown
    if here.is_shown:
        assert here.more_needed() == 0


def test_an_engine_that_is_worse_by_the_margin_is_accepted_in_at_most_5_percent():
    rng = np.random.default_rng(0)
    for share, n, new_rate in ((1.0, 31, 0.1), (1.0, 100, 0.1), (0.8, 60, 0.2), (0.6, 80, 0.3)):
        mended_rate = (share * new_rate - MARGIN) / (1 - share) if share < 1 else 0
        draws = np.stack([rng.binomial(n, new_rate, 1000), rng.binomial(n, mended_rate, 1000)], axis=1)
        different, times = np.unique(draws, axis=0, return_counts=True)
        shown = [Paired(n, new, n, mended, share).is_shown for new, mended in different.tolist()]
        assert np.average(shown, weights=times) <= 0.05


def test_each_judge_counts_only_where_the_old_engine_was_right_or_wrong():
    old, new = np.array([True, True, False, False, False]), np.array([True, False, True, False, False])
    found = Paired.of(old, new, (30.0, 10.0))
    assert (found.right, found.new_errors, found.wrong, found.mended) == (2, 1, 3, 1)
    assert found.share_right == 60 / 90
    assert found.errors == (3, 3)
    assert Paired.of(old, new).share_right == 1


def test_more_photos_are_asked_for_only_as_long_as_they_help():
    assert Paired(10, 0).more_needed() == photos_to_show(MARGIN) - 10
    assert Paired(0, 0).more_needed() == photos_to_show(MARGIN)
    assert Paired(40, 3).more_needed() > 30
