import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.frame_queue import FrameQueue, depth_for
from inspectd.part import MissedReason, Part, Shot

IMAGE = np.zeros((2, 2), np.uint8)


def entry(number: int, missed: MissedReason | None = None) -> tuple[Part, Shot]:
    return Part(number, number, 0, 0, 0), Shot(number, 0, 0, None if missed else IMAGE, missed)


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
    assert all(shot.missed in (None, MissedReason.LOST_FRAME, MissedReason.OVERRUN) for _, shot in got)


@given(st.integers(1, 6), st.integers(0, 20))
def test_the_oldest_images_give_way(depth, count):
    queue = FrameQueue(depth)
    for number in range(count):
        queue.put(*entry(number))
    reasons = [queue.get(0)[1].missed for _ in range(count)]
    overrun = max(0, count - depth)
    assert reasons == [MissedReason.OVERRUN] * overrun + [None] * (count - overrun)


def test_get_waits_for_a_part():
    queue = FrameQueue(1)
    threading.Timer(0.05, lambda: queue.put(*entry(3))).start()
    taken = queue.get(5)
    assert taken is not None
    assert taken[0].id == 3
    assert queue.get(0.01) is None


@given(st.floats(1, 1e4), st.floats(0.1, 1e3))
def test_the_last_one_in_the_queue_can_still_be_judged_in_time(deadline_ms, service_ms):
    depth = depth_for(deadline_ms, service_ms)
    assert depth >= 1
    assert depth == 1 or (depth + 1) * service_ms <= deadline_ms * (1 + 1e-9)


def test_a_queue_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        FrameQueue(0)
