"""The acquire thread: camera -> parts -> bounded queue. From here on every trigger has a part."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import structlog

from inspectd.books import Books
from inspectd.camera import Camera
from inspectd.camera.base import EndOfImages
from inspectd.errors import CameraError
from inspectd.frame_queue import FrameQueue
from inspectd.gate import GateLink
from inspectd.part import Image, MissedReason, Part, Shot
from inspectd.progress import Progress

log = structlog.get_logger()

_GRAB_TIMEOUT_MS = 100.0
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_LARGEST_GAP = 1000
"""More frames than this cannot be lost between two that arrived: the counter itself has jumped."""


class Acquisition:
    """Turns shots into parts: announces each to the gate (which rejects it from then on) and queues its image."""

    def __init__(
        self,
        *,
        camera: Camera,
        queue: FrameQueue,
        gate: GateLink,
        books: Books,
        delay_ms: float,
        first_part_id: int,
        on_camera: Callable[[str | None], None],
    ) -> None:
        """`on_camera` is told why the camera was lost (text) and that it is back (None)."""
        self.progress = Progress()
        self.ended = threading.Event()
        """Set when a finite source has no more images."""
        self.delivers = threading.Event()
        """Set while the camera is open and proven to deliver."""
        self._camera = camera
        self._queue = queue
        self._gate = gate
        self._books = books
        self._delay_ns = round(delay_ms * 1e6)
        self._next_id = first_part_id
        self._on_camera = on_camera
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until `stop` or the end of the images. Reconnects with backoff; raises only what no retry can mend."""
        try:
            for _ in self._connections():
                try:
                    self._acquire()
                except EndOfImages:
                    self.ended.set()
                    return
                except CameraError as error:
                    self.delivers.clear()
                    self._on_camera(str(error))
                if self._stopping.is_set():
                    return
        finally:
            self.delivers.clear()
            self._camera.close()

    def stop(self) -> None:
        self._stopping.set()

    def _connections(self) -> Iterator[None]:
        """Yields each time the camera has been opened."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self._camera.close()
                self._camera.open()
            except CameraError as error:
                if failures == 0:
                    log.error("camera can't be opened", error=str(error))
                    self._on_camera(str(error))
                self._wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                failures += 1
                continue
            failures = 0
            self.delivers.set()
            self._on_camera(None)
            yield

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stopping.wait(0.05):
            self.progress.tick()

    def _acquire(self) -> None:
        previous: Shot | None = None
        while not self._stopping.is_set():
            shot = self._camera.grab(_GRAB_TIMEOUT_MS)
            self.progress.tick()
            if shot is None:
                continue
            if previous is not None:
                self._admit_lost(previous, shot)
            self._admit(_refuse_repeated_pixels(shot, previous))
            previous = shot

    def _admit_lost(self, previous: Shot, shot: Shot) -> None:
        try:
            lost = lost_between(previous, shot)
        except CameraError:
            self._admit(replace(shot, image=None, missed=MissedReason.BAD_FRAME))
            raise
        for each in lost:
            self._admit(each)

    def _admit(self, shot: Shot) -> None:
        now_ns, now_utc_ns = time.monotonic_ns(), time.time_ns()
        part = Part(
            id=self._next_id,
            frame_number=shot.number,
            t_trigger_ns=shot.t_trigger_ns,
            t_trigger_utc_ns=now_utc_ns - (now_ns - shot.t_trigger_ns),
            due_ns=shot.t_trigger_ns + self._delay_ns,
        )
        self._next_id += 1
        self._books.trigger(part.id)
        self._gate.expect(part.id, part.due_ns)
        self._queue.put(part, shot)


def lost_between(previous: Shot, shot: Shot) -> list[Shot]:
    """One `lost_frame` shot for each number missing between two shots; triggers are spread evenly between theirs.

    A counter that stands still, runs backwards or leaps by more than a thousand says nothing about single parts: raises CameraError.
    """
    gap = shot.number - previous.number
    if not 0 < gap <= _LARGEST_GAP:
        raise CameraError(f"frame counter went from {previous.number} to {shot.number}")
    step_ns = (shot.t_trigger_ns - previous.t_trigger_ns) // gap
    return [
        Shot(
            number=previous.number + place,
            t_trigger_ns=previous.t_trigger_ns + place * step_ns,
            t_arrival_ns=shot.t_arrival_ns,
            image=None,
            missed=MissedReason.LOST_FRAME,
        )
        for place in range(1, gap)
    ]


def _refuse_repeated_pixels(shot: Shot, previous: Shot | None) -> Shot:
    """Sensor noise makes two equal images impossible; a frozen camera or driver repeats itself exactly."""
    if previous is None or previous.image is None or shot.image is None or not _same(shot.image, previous.image):
        return shot
    return replace(shot, image=None, missed=MissedReason.STALE_FRAME)


def _same(image: Image, other: Image) -> bool:
    middle = image.shape[0] // 2
    return image.shape == other.shape and np.array_equal(image[middle], other[middle]) and np.array_equal(image, other)
