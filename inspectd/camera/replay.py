"""A folder of images or a video file in place of a camera, at a steady rate."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import structlog
from pydantic import Field

from inspectd.camera.base import CameraSection, EndOfImages, camera_errors
from inspectd.camera.clock import TriggerClock
from inspectd.camera.image_files import photos_to_play, read_photo
from inspectd.errors import CameraError, ConfigError
from inspectd.part import Frame, Image, MissedReason
from inspectd.section import ConfigPath

log = structlog.get_logger()

_LONG = 1000


class ReplayConfig(CameraSection):
    """A folder of images or a video file in place of a camera."""

    kind: Literal["replay"]
    """Plays images or a video file at a steady rate, in place of a camera."""
    source: ConfigPath
    """Folder of images (png, bmp, jpg, tif) or a video file. The images of all subfolders are played in the order of their
    names."""
    rate_hz: float = Field(default=10, ge=0.01, le=1000)
    """Images per second. Each image is one label."""
    forever: bool = False
    """true: start again after the last image. false: the line ends after the last image."""

    def create(self) -> "ReplayCamera":
        return ReplayCamera(self)

    def repeats_after(self) -> int | None:
        if not self.forever:
            return None
        return len(photos_to_play(self.source)) if self.source.is_dir() else _length(self.source)

    def known_period_ms(self) -> float | None:
        return 1000 / self.rate_hz


class ReplayCamera:
    """Plays images. Each image is decoded before its trigger, so that its age does not include the decoding."""

    def __init__(self, config: ReplayConfig) -> None:
        self._config = config
        self._images: Iterator[Image | None] | None = None
        self._pending: list[Image | None] = []
        self._clock = TriggerClock(config.rate_hz)
        self._number = 0

    def open(self) -> None:
        self._images = self._all()
        self._pending = []
        self._decode_next()
        self._number = 0
        self._clock = TriggerClock(self._config.rate_hz)

    def grab(self, timeout_ms: float) -> Frame | None:
        if not self._pending:
            self._decode_next()
        if not self._clock.wait(timeout_ms):
            return None
        image, number, now_ns = self._pending.pop(), self._number, time.monotonic_ns()
        self._number += 1
        return Frame(number, now_ns, now_ns, image, MissedReason.BAD_FRAME if image is None else None)

    def close(self) -> None:
        self._images = None
        self._pending = []

    def _decode_next(self) -> None:
        if self._images is None:
            raise CameraError(f"camera.source: {self._config.source}: not open")
        with camera_errors(f"camera.source: {self._config.source}"):
            for image in self._images:
                self._pending.append(image)
                return
            raise EndOfImages

    def _all(self) -> Iterator[Image | None]:
        """All images; None for a file that can't be used. Its part exists all the same."""
        source = self._config.source
        photos = [] if source.is_file() else photos_to_play(source)
        while True:
            yield from map(_image, photos) if photos else _frames(source)
            if not self._config.forever:
                return


def _image(path: Path) -> Image | None:
    try:
        return read_photo(path)
    except ConfigError as error:
        log.warning("image can't be used", error=str(error))
        return None


def _length(video: Path) -> int | None:
    """Number of images, by reading them; None for a long video."""
    capture = cv2.VideoCapture(str(video))
    try:
        return next((place for place in range(_LONG) if not capture.grab()), None)
    finally:
        capture.release()


def _frames(video: Path) -> Iterator[Image]:
    capture = cv2.VideoCapture(str(video))
    try:
        is_read, image = capture.read()
        if not is_read:
            raise CameraError(f"{video}: is not a video that can be read")
        while is_read:
            yield image
            is_read, image = capture.read()
    finally:
        capture.release()
