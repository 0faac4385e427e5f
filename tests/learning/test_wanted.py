"""How many photos prove what, and what they prove."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.learning.not_worse import MARGIN, Paired, photos_to_show
from inspectd.learning.wanted import reviewed_to_show, wanted

COUNTS = st.lists(st.integers(0, 40), min_size=4, max_size=4)


def paired(agree: int, both: int, only_old: int, only_new: int) -> Paired:
    return Paired(agree + both + only_old + only_new, both, only_old, only_new)


def test_the_first_goal_is_what_the_proof_needs():
    assert wanted({}, "good")[0].startswith(f"{reviewed_to_show(MARGIN)} more faulty or unknown ones: ")
    least = photos_to_show(MARGIN)
    assert Paired(least, 0, 0, 0).is_shown
    assert not Paired(least - 1, 0, 0, 0).is_shown


def test_unknown_ones_count_as_faulty_ones():
    both = wanted({"good": 400, "crack": 20, "unknown": 15}, "good")
    assert (
        both[0]
        == wanted({"crack": 35}, "good")[0]
        == ("12 more faulty or unknown ones: proves that at most 10% more of the faulty or unknown ones pass than now")
    )


def test_nothing_is_wanted_when_all_is_shown():
    assert wanted({"good": 1000, "crack": 1000}, "good") == []


@settings(max_examples=40)
@given(COUNTS)
def test_a_new_error_never_helps_and_an_old_one_never_harms(counts):
    agree, both, only_old, only_new = counts
    here = paired(agree + 1, both, only_old, only_new)
    assert paired(agree, both, only_old, only_new + 1).difference_at_most >= here.difference_at_most
    assert paired(agree, both, only_old + 1, only_new).difference_at_most <= here.difference_at_most


@settings(max_examples=40)
@given(COUNTS)
def test_an_engine_that_errs_more_often_is_never_shown(counts):
    found = paired(*counts)
    if found.only_new > found.only_old:
        assert not found.is_shown
    if found.is_shown:
        assert found.more_needed() == 0


def test_an_engine_that_is_worse_by_the_margin_is_accepted_in_at_most_5_percent():
    rng = np.random.default_rng(0)
    for p_old, n in ((0.0, 31), (0.0, 60), (0.2, 40), (0.4, 100)):
        draws = rng.multinomial(n, (0.9 - 2 * p_old, p_old, p_old + MARGIN), 2000)
        shown = [Paired(n, 0, int(old), int(new)).is_shown for _, old, new in draws]
        assert np.mean(shown) <= 0.05


def test_more_photos_are_asked_for_only_as_long_as_they_help():
    assert Paired(10, 0, 0, 0).more_needed() == photos_to_show(MARGIN) - 10
    assert Paired(0, 0, 0, 0).more_needed() == photos_to_show(MARGIN)
