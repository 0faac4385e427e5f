import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.acquisition import lost_between
from inspectd.errors import CameraError
from inspectd.part import MissedReason, Shot


def shot(number: int, t_ns: int) -> Shot:
    return Shot(number, t_ns, t_ns, np.zeros((2, 2), np.uint8))


@given(st.integers(0, 10_000), st.integers(1, 1000), st.integers(0, 10**12), st.integers(0, 10**10))
def test_each_missing_number_is_one_lost_part_between_its_neighbours(first, gap, t_ns, span_ns):
    lost = lost_between(shot(first, t_ns), shot(first + gap, t_ns + span_ns))
    assert [each.number for each in lost] == list(range(first + 1, first + gap))
    assert all(each.missed is MissedReason.LOST_FRAME for each in lost)
    times = [t_ns, *(each.t_trigger_ns for each in lost), t_ns + span_ns]
    assert times == sorted(times)


@pytest.mark.parametrize("number", [0, 4, 5, 2000])
def test_a_counter_that_makes_no_sense_is_a_camera_fault(number):
    with pytest.raises(CameraError, match="frame counter went from 5"):
        lost_between(shot(5, 0), shot(number, 1))
