"""The acquire thread: camera -> parts -> bounded queue. From here on every trigger has a part."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from inspectd.camera import Camera
from inspectd.camera.base import CLOSE_S, EndOfImages
from inspectd.errors import CameraError, InUseError
from inspectd.gate import GateLink
from inspectd.line.frame_queue import FrameQueue
from inspectd.line.ledger import Books
from inspectd.line.liveness import Progress
from inspectd.line.repetition import RecentImages
from inspectd.part import Frame, MissedReason, Part

log = structlog.get_logger()

_GRAB_TIMEOUT_MS = 100.0
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_OPENING_S = 20.0
"""A camera that is not connected may take this long to say so. One that takes longer hangs, and the watchdog must see it."""
_LARGEST_GAP = 1000
"""A gap in the frame counter that is larger than this is not a loss of frames: the counter itself has jumped."""


class Acquisition:
    """Turns frames into parts: announces each part to the gate, which rejects it from then on, and queues its frame."""

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
        expect_every_s: float | None = None,
        repeats_after: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`on_camera` gets the reason when the camera is lost, and None when it is back. `expect_every_s` and
        `repeats_after` come from the camera's section of the config."""
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
        self._expect_every_s = expect_every_s
        self._repeats_after = repeats_after
        self._recent: RecentImages | None = None
        self._proof_is_owed = threading.Event()
        """Set while the camera is open, but its trigger was found dead and has given no image since."""
        self._last_s = time.monotonic()
        self._opening: threading.Thread | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until `stop` or the end of the images. A lost camera is opened again, with growing pauses.

        The camera stays open until `close`, because the reject output may be on it. Raises LineFault, or any bug.
        """
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

    @property
    def next_part_id(self) -> int:
        """The number of the next label whose image comes. It may have been triggered already."""
        return self._next_id

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        """Close the camera, once `run` has returned. Bounded in time."""
        self._camera.close()
        if self._opening is not None:
            self._opening.join(CLOSE_S)

    def reset(self) -> None:
        """An operator has looked: a trigger that was found dead is trusted again, for `expect_every_s`."""
        self._proof_is_owed.clear()

    def _connections(self) -> Iterator[None]:
        """Yields each time the camera has been opened."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self._camera.close()
                self._open()
            except (CameraError, InUseError) as error:
                if failures == 0:
                    log.error("camera can't be opened", error=str(error))
                    self._on_camera(str(error))
                self._wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                failures += 1
                continue
            failures = 0
            if self._stopping.is_set():
                return
            if not self._proof_is_owed.is_set():
                self._delivers()
            yield

    def _open(self) -> None:
        """Open the camera in another thread, so that this one shows progress and obeys `stop` meanwhile."""
        failures: list[BaseException] = []

        def open_camera() -> None:
            try:
                self._camera.open()
                if self._stopping.is_set():  # nobody waits for it any more
                    self._camera.close()
            except BaseException as error:  # raised in the acquire thread, below
                failures.append(error)

        opening = self._opening = threading.Thread(target=open_camera, name="open-camera", daemon=True)
        opening.start()
        end_s = time.monotonic() + _OPENING_S
        while opening.is_alive() and not self._stopping.is_set():
            opening.join(0.02)
            if time.monotonic() < end_s:
                self.progress.tick()
        if failures:
            raise failures[0]

    def _delivers(self) -> None:
        self.delivers.set()
        self._on_camera(None)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stopping.wait(0.05):
            self.progress.tick()

    def _acquire(self) -> None:
        previous: Frame | None = None
        recent = self._recent_images()
        self._last_s = time.monotonic()
        while not self._stopping.is_set():
            frame = self._camera.grab(_GRAB_TIMEOUT_MS)
            self.progress.tick()
            if frame is None:
                self._expect_labels()
                continue
            self._prove_trigger(frame)
            if previous is not None:
                self._admit_lost(previous, frame)
            if frame.image is not None and recent.saw(frame.image):
                self._admit(replace(frame, image=None, missed=MissedReason.STALE_FRAME))
            else:
                self._admit(frame)
            previous = frame

    def _recent_images(self) -> RecentImages:
        """A frozen camera is still frozen after it was opened again, so its images are remembered. A camera that plays files
        begins again with the first one."""
        repeats_after = self._repeats_after()
        if self._recent is None or repeats_after is not None:
            self._recent = RecentImages(repeats_after)
        return self._recent

    def _expect_labels(self) -> None:
        """Raises CameraError if labels are expected and no label has come for too long."""
        if not self.delivers.is_set() and not self._proof_is_owed.is_set():  # an operator has looked (`reset`)
            self._last_s = time.monotonic()
            self._delivers()
        if self._expect_every_s is None or self._proof_is_owed.is_set():
            return
        if time.monotonic() - self._last_s > self._expect_every_s:
            self._proof_is_owed.set()
            raise CameraError(
                f"no label has come for {self._expect_every_s:g} s (camera.expect_every_s): check that the light barrier sees "
                "the labels and that its cable is connected. Run permit stays off until a trigger gives an image, or until "
                "somebody acknowledges it (inspectd control acknowledge)"
            )

    def _prove_trigger(self, frame: Frame) -> None:
        self._last_s = time.monotonic()
        if frame.image is not None:
            self._proof_is_owed.clear()
        if not self.delivers.is_set() and not self._proof_is_owed.is_set():
            self._delivers()

    def _admit_lost(self, previous: Frame, frame: Frame) -> None:
        try:
            lost = lost_between(previous, frame)
        except CameraError:
            self._admit(replace(frame, image=None, missed=MissedReason.BAD_FRAME))
            raise
        for each in lost:
            self._admit(each)

    def _admit(self, frame: Frame) -> None:
        now_ns, now_utc_ns = time.monotonic_ns(), time.time_ns()
        part = Part(
            id=self._next_id,
            frame_number=frame.number,
            t_trigger_ns=frame.t_trigger_ns,
            t_trigger_utc_ns=now_utc_ns - (now_ns - frame.t_trigger_ns),
            due_ns=frame.t_trigger_ns + self._delay_ns,
        )
        self._next_id += 1
        self._books.trigger(part.id)
        self._gate.expect(part.id, part.due_ns)
        self._queue.put(part, frame)


def lost_between(previous: Frame, frame: Frame) -> list[Frame]:
    """One `lost_frame` frame for each number that is missing between two frames. Their triggers are spread evenly.

    Raises CameraError if the counter stood still, ran backwards or jumped by more than 1000: it then says nothing about
    single parts.
    """
    gap = frame.number - previous.number
    if not 0 < gap <= _LARGEST_GAP:
        raise CameraError(f"frame counter went from {previous.number} to {frame.number}")
    step_ns = (frame.t_trigger_ns - previous.t_trigger_ns) // gap
    return [
        Frame(
            number=previous.number + place,
            t_trigger_ns=previous.t_trigger_ns + place * step_ns,
            t_arrival_ns=frame.t_arrival_ns,
            image=None,
            missed=MissedReason.LOST_FRAME,
        )
        for place in range(1, gap)
    ]
