import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.acquisition import Acquisition, lost_between
from inspectd.books import Books
from inspectd.errors import CameraError, InUseError
from inspectd.frame_queue import FrameQueue
from inspectd.part import Image, MissedReason, Shot
from tests.camera.pictures import noise


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


class Camera:
    """Gives `images` one after the other, then what `silence` gives: nothing, unless it raises."""

    def __init__(self, images: list[Image], opens: Callable[[], None] = lambda: None) -> None:
        self.images = images
        self.opened = self.closed = 0
        self._opens = opens
        self._number = 0

    def open(self) -> None:
        self._opens()
        self.opened += 1
        self._number = 0

    def grab(self, timeout_ms: float) -> Shot | None:
        if not self.images:
            time.sleep(0.01)
            return None
        self._number += 1
        now_ns = time.monotonic_ns()
        return Shot(self._number, now_ns, now_ns, self.images.pop(0))

    def close(self) -> None:
        self.closed += 1


class Gate:
    def expect(self, part: int, due_ns: int) -> None:
        pass


class Running:
    def __init__(self, camera: Camera, **changes: object) -> None:
        self.queue = FrameQueue(1000)
        self.said: list[str | None] = []
        self.acquisition = Acquisition(
            camera=camera,
            queue=self.queue,
            gate=Gate(),
            books=Books(),
            delay_ms=100,
            first_part_id=1,
            on_camera=self.said.append,
            **changes,
        )
        self.thread = threading.Thread(target=self.acquisition.run, daemon=True)

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.acquisition.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()
        self.acquisition.close()

    def until(self, condition: Callable[[], object]) -> None:
        end_s = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end_s, self.said
            time.sleep(0.01)

    def missed(self) -> Iterator[MissedReason | None]:
        while (entry := self.queue.get(0)) is not None:
            yield entry[1].missed


PICTURES = noise(20, 24, 32)


def test_two_buffers_in_turn_are_no_inspection():
    camera = Camera([*PICTURES[:3], *PICTURES[3:5] * 4])
    with Running(camera) as run:
        run.until(lambda: len(run.queue) == 11)
        assert list(run.missed()) == [None] * 5 + [MissedReason.STALE_FRAME] * 6


def test_files_that_a_camera_plays_again_are_inspected_again():
    with Running(Camera(PICTURES[:3] * 4), repeats_after=lambda: 3) as run:
        run.until(lambda: len(run.queue) == 12)
        assert set(run.missed()) == {None}


def test_a_trigger_that_gives_nothing_costs_run_permit_until_it_gives_an_image():
    camera = Camera(PICTURES[:2])
    with Running(camera, expect_every_s=0.3) as run:
        run.until(lambda: camera.opened == 2)
        assert len(run.said) == 2
        assert run.said[0] is None
        assert "camera.expect_every_s" in run.said[1]
        time.sleep(0.8)  # the camera is open again and gives nothing
        assert not run.acquisition.delivers.is_set()
        assert (len(run.said), camera.opened) == (2, 2)
        camera.images.append(PICTURES[5])
        run.until(run.acquisition.delivers.is_set)
        assert run.said[2] is None
        run.until(lambda: not run.acquisition.delivers.is_set())  # and if it falls silent once more
        assert camera.opened >= 2


def test_a_trigger_that_somebody_has_looked_at_is_trusted_once_more():
    camera = Camera([])
    with Running(camera, expect_every_s=0.4) as run:
        run.until(lambda: camera.opened == 2)
        assert not run.acquisition.delivers.is_set()
        run.acquisition.reset()
        run.until(run.acquisition.delivers.is_set)
        reset_s = time.monotonic()
        run.until(lambda: not run.acquisition.delivers.is_set())
        assert time.monotonic() - reset_s > 0.3
    assert run.said.count(None) == 2


def test_a_line_that_expects_nothing_may_pause():
    with Running(Camera(PICTURES[:1])) as run:
        run.until(lambda: len(run.queue))
        time.sleep(0.5)
        assert run.acquisition.delivers.is_set()
        assert run.said == [None]


def test_a_camera_that_is_in_use_is_tried_again():
    owners = iter([InUseError("camera 1: in use by the running line (process 7)"), None])

    def opens() -> None:
        owner = next(owners)
        if owner is not None:
            raise owner

    with Running(Camera(PICTURES[:1], opens)) as run:
        run.until(run.acquisition.delivers.is_set)
    assert run.said == ["camera 1: in use by the running line (process 7)", None]


def test_a_camera_that_takes_long_to_open_shows_progress_and_lets_the_line_stop():
    opening, released = threading.Event(), threading.Event()

    def opens() -> None:
        opening.set()
        released.wait(10)

    camera = Camera([], opens)
    with Running(camera) as run:
        assert opening.wait(5)
        time.sleep(0.3)
        assert run.acquisition.progress.age_ms() < 200
        stop_s = time.monotonic()
        run.acquisition.stop()
        run.thread.join(5)
        assert time.monotonic() - stop_s < 1
        released.set()
    assert run.said == []
    assert camera.closed >= 2  # what opened after all was closed again


def test_the_camera_stays_open_until_the_gate_has_finished():
    camera = Camera(PICTURES[:1])
    with Running(camera) as run:
        run.until(lambda: len(run.queue))
        before = camera.closed
        run.acquisition.stop()
        run.thread.join(5)
        assert camera.closed == before
    assert camera.closed == before + 1
