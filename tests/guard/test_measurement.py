"""How unusual it is how a print lies, and how pale it is."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.guard import measurement
from inspectd.guard.placement import PlacedPrint
from inspectd.guard.registration import NOWHERE, Pose


def _print(darkness: float, pose: Pose = NOWHERE) -> PlacedPrint:
    return PlacedPrint(pose, np.eye(3), np.zeros((8, 8), np.float32), darkness)


DARKNESS = st.floats(0.05, 0.95)


@given(st.lists(DARKNESS, min_size=2, max_size=8), DARKNESS)
def test_a_print_is_faded_if_it_is_paler_than_every_good_one(good: Sequence[float], darkness: float) -> None:
    usual = measurement.fit([_print(one) for one in good])
    share = usual.shares(usual.measure(_print(darkness)))["faded"]
    if darkness >= min(good):
        assert share <= 1 + 1e-9
    elif darkness < 0.95 * min(good):
        assert share > 1


@given(DARKNESS, st.floats(0, 0.3))
def test_fading_is_the_share_of_the_usual_darkness_that_is_missing(usual: float, lost: float) -> None:
    fitted = measurement.fit([_print(0.9 * usual), _print(1.1 * usual)])
    assert fitted.measure(_print(usual * (1 - lost))).fading == pytest.approx(lost)


def test_a_print_that_is_darker_than_all_good_ones_is_not_faded() -> None:
    usual = measurement.fit([_print(0.5), _print(0.6)])
    assert usual.shares(usual.measure(_print(0.95)))["faded"] == 0


def test_a_darkness_that_is_not_a_number_stays_one() -> None:
    usual = measurement.fit([_print(0.5), _print(0.6)])
    assert math.isnan(usual.shares(usual.measure(_print(math.nan)))["faded"])


def test_the_farthest_good_prints_have_the_share_1() -> None:
    usual = measurement.fit([_print(0.5, Pose(-1, 2, 0)), _print(0.6, Pose(2, -4, 0))])
    shares = usual.shares(usual.measure(_print(0.5, Pose(2, -4, 0))))
    assert shares == pytest.approx({"turned": 1, "shifted": 1, "faded": 1})


def test_prints_without_ink_are_refused() -> None:
    with pytest.raises(ValueError, match="not darker"):
        measurement.fit([_print(0), _print(0)])
