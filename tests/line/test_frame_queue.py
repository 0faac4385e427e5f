import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.line.frame_queue import FrameQueue, depth_for
from inspectd.part import Frame, MissedReason, Part

IMAGE = np.zeros((2, 2), np.uint8)


def entry(number: int, missed: MissedReason | None = None) -> tuple[Part, Frame]:
    return Part(number, number, 0, 0, 0), Frame(number, 0, 0, None if missed else IMAGE, missed)


@given(st.integers(1, 5), st.lists(st.one_of(st.just("put"), st.just("miss"), st.just("get"))))
def test_nothing_is_lost_order_is_kept_and_images_are_bounded(depth, story):
    queue = FrameQueue(depth)
    put, got = 0, []
    for action in story:
        if action == "get":
            taken = queue.get(0)
            got += [taken] if taken else []
        else:
            queue.put(*entry(put, MissedReason.LOST_FRAME if action == "miss" else None))
            put += 1
    while len(queue):
        got.append(queue.get(0))
    assert [part.id for part, _ in got] == list(range(put))
    assert all(frame.missed in (None, MissedReason.LOST_FRAME, MissedReason.OVERRUN) for _, frame in got)


@given(st.integers(1, 5), st.lists(st.sampled_from(["put", "put", "miss", "get"])))
def test_a_part_gives_way_only_while_depth_newer_images_wait(depth, story):
    queue = FrameQueue(depth)
    waiting: list[MissedReason | None] = []
    for number, action in enumerate(story):
        if action == "get":
            taken = queue.get(0)
            assert (taken[1].missed if taken else "nothing") == (waiting.pop(0) if waiting else "nothing")
        else:
            missed = MissedReason.LOST_FRAME if action == "miss" else None
            queue.put(*entry(number, missed))
            waiting.append(missed)
            if waiting.count(None) > depth:
                waiting[waiting.index(None)] = MissedReason.OVERRUN
        assert len(queue) == len(waiting)


@given(st.integers(1, 6), st.integers(0, 20))
def test_the_oldest_images_give_way(depth, count):
    queue = FrameQueue(depth)
    for number in range(count):
        queue.put(*entry(number))
    reasons = [queue.get(0)[1].missed for _ in range(count)]
    overrun = max(0, count - depth)
    assert reasons == [MissedReason.OVERRUN] * overrun + [None] * (count - overrun)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_queue_that_was_full_is_as_good_as_new_when_it_is_empty(depth):
    queue = FrameQueue(depth)
    for _ in range(3):
        for number in range(depth + 2):
            queue.put(*entry(number))
        reasons = [queue.get(0)[1].missed for _ in range(depth + 2)]
        assert reasons == [MissedReason.OVERRUN] * 2 + [None] * depth


def test_get_waits_for_a_part():
    queue = FrameQueue(1)
    threading.Timer(0.05, lambda: queue.put(*entry(3))).start()
    start_s = time.monotonic()
    taken = queue.get(5)
    assert time.monotonic() - start_s < 2.5, "the worker must not sleep while a part waits"
    assert taken is not None
    assert taken[0].id == 3
    assert queue.get(0.01) is None


@given(st.floats(1, 1e4), st.floats(0.1, 1e3))
def test_the_last_one_in_the_queue_can_still_be_judged_in_time(deadline_ms, service_ms):
    depth = depth_for(deadline_ms, service_ms)
    assert depth >= 1
    assert depth == 1 or (depth + 1) * service_ms <= deadline_ms * (1 + 1e-9)


@pytest.mark.parametrize(
    ("deadline_ms", "service_ms", "depth"),
    # three images of 10 ms each are judged in 30 ms: one is being judged, two wait
    [(30, 10, 2), (39.9, 10, 2), (40, 10, 3), (29.9, 10, 1), (20, 10, 1), (5, 10, 1), (30, 1, 29), (30, 0.1, 29)],
)
def test_depth_at_its_boundaries(deadline_ms, service_ms, depth):
    assert depth_for(deadline_ms, service_ms) == depth


def test_a_queue_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        FrameQueue(0)
    assert FrameQueue(1).depth == 1


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 12), st.integers(1, 12))
def test_a_new_depth_holds_from_the_next_image_on(depth, new_depth, before, after):
    queue = FrameQueue(depth)
    for number in range(before):
        queue.put(*entry(number))
    queue.depth = new_depth
    for number in range(before, before + after):
        queue.put(*entry(number))
    entries = [queue.get(0) for _ in range(before + after)]
    assert [part.id for part, _ in entries] == list(range(before + after))
    waiting = [part.id for part, frame in entries if frame.image is not None]
    assert waiting == list(range(before + after))[-min(min(before, depth) + after, new_depth) :]
