"""Frame numbers from the IDs of cameras that lose frames, count to 65535 or for ever, and start anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.camera.pylon.frame_counter import FrameCounter
from inspectd.errors import CameraError

PERIOD_NS = 10_000_000
WRAP = 65_535

GAPS = st.lists(st.integers(1, 50), min_size=1, max_size=30)
"""From one frame that arrives to the next, counted in frames."""


def taken(first: int, gaps: list[int]) -> list[int]:
    """Which frames, counted from the start of the camera, arrive."""
    return [first + sum(gaps[:place]) for place in range(len(gaps) + 1)]


@given(st.one_of(st.integers(1, WRAP), st.integers(WRAP - 100, WRAP)), GAPS, st.integers(0, 3))
def test_a_16_bit_counter_wraps_and_no_lost_frame_is_hidden_or_invented(first, gaps, broken):
    counter = FrameCounter(PERIOD_NS)
    frames = taken(first, gaps)
    # the time of a broken frame is not known; around the wrap itself it must be
    numbers = [
        counter.number(
            (frame - 1) % WRAP + 1, None if place % 7 == 6 and frame < WRAP and broken else frame * PERIOD_NS
        )
        for place, frame in enumerate(frames)
    ]
    assert [number - numbers[0] for number in numbers] == [frame - first for frame in frames]


@given(st.integers(0, 2**60), GAPS)
def test_a_64_bit_counter(first, gaps):
    counter = FrameCounter(PERIOD_NS)
    frames = taken(first, gaps)
    assert [counter.number(frame, frame * PERIOD_NS) for frame in frames] == frames


@given(st.integers(1, 2**20), GAPS, st.integers(0, 300), st.integers(1, 300))
def test_a_camera_that_starts_anew_gives_no_labels_that_never_were(first, gaps, restarted_at, ticks_ms):
    """Its clock starts anew, too: it is a CameraError, but for the one frame that a 16-bit counter expects."""
    counter = FrameCounter(PERIOD_NS)
    for frame in (frames := taken(first, gaps)):
        counter.number(frame, 10**15 + frame * PERIOD_NS)
    if restarted_at >= frames[-1] or (frames[-1] == WRAP and restarted_at == 1):
        return
    with pytest.raises(CameraError, match="counter went"):
        counter.number(restarted_at, ticks_ms * 1_000_000)


@pytest.mark.parametrize(("last", "restarted_at"), [(65_530, 3), (65_535, 0), (65_534, 1), (70_000, 1), (5, 1), (5, 0)])
def test_without_a_clock_only_an_exact_wrap_is_one(last, restarted_at):
    counter = FrameCounter(PERIOD_NS)
    counter.number(last)
    with pytest.raises(CameraError, match=f"{last} back to {restarted_at}"):
        counter.number(restarted_at)


@pytest.mark.parametrize(("last", "restarted_at"), [(65_535, 0), (65_530, 0), (70_000, 1), (2**40, 3)])
def test_what_no_16_bit_counter_does_is_no_wrap_however_much_time_has_passed(last, restarted_at):
    counter = FrameCounter(PERIOD_NS)
    counter.number(last, 0)
    with pytest.raises(CameraError, match=f"{last} back to {restarted_at}"):
        counter.number(restarted_at, 10**15)


def test_the_exact_wrap_without_a_clock():
    counter = FrameCounter()
    assert [counter.number(block_id) for block_id in (65_534, 65_535, 1, 2)] == [65_534, 65_535, 65_536, 65_537]


@given(st.integers(1, 60_000), st.integers(5, 900))
def test_more_frames_than_the_camera_can_take_in_that_time_are_no_gap(first, gap):
    counter = FrameCounter(PERIOD_NS)
    counter.number(first, 0)
    with pytest.raises(CameraError, match="faster than the camera"):
        counter.number(first + gap, (gap // 2) * PERIOD_NS)


def test_a_frame_that_lost_its_id_comes_after_the_one_before():
    counter = FrameCounter(PERIOD_NS)
    assert [counter.number(block_id) for block_id in (7, 2**64 - 1, 9)] == [7, 8, 9]


def test_lost_frames_around_the_wrap_are_counted_where_there_was_time_for_them():
    counter = FrameCounter(PERIOD_NS)
    assert counter.number(65_530, 0) == 65_530
    assert counter.number(3, 8 * PERIOD_NS) == 65_538


def test_a_counter_that_wraps_again_and_again():
    counter = FrameCounter()
    numbers = [counter.number(block_id) for _ in range(3) for block_id in (1, 20_000, 65_535)]
    assert numbers == [1, 20_000, 65_535, 65_536, 85_535, 131_070, 131_071, 151_070, 196_605]


@pytest.mark.parametrize(("t_ns", "is_possible"), [(90_000_000, True), (89_999_999, False)])
def test_images_may_be_a_tenth_closer_than_the_rate_says(t_ns, is_possible):
    counter = FrameCounter(PERIOD_NS)
    counter.number(1, 0)
    if is_possible:
        assert counter.number(11, t_ns) == 11
        return
    with pytest.raises(CameraError, match="from 1 to 11, faster"):
        counter.number(11, t_ns)


def test_where_the_rate_is_not_known_any_gap_is_believed():
    counter = FrameCounter()
    assert [counter.number(1, 0), counter.number(900, 5)] == [1, 900]


def test_a_first_frame_without_an_id():
    counter = FrameCounter()
    assert counter.last == -1
    assert [counter.number(2**64 - 1), counter.last] == [0, 0]
