"""A folder of images or a video file instead of a camera, at a steady rate."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import structlog
from pydantic import Field

from inspectd.camera.base import CameraSection, EndOfImages
from inspectd.camera.clock import TriggerClock
from inspectd.errors import CameraError
from inspectd.part import Image, MissedReason, Shot
from inspectd.section import ConfigPath

log = structlog.get_logger()

SUFFIXES = {".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff"}


class ReplayConfig(CameraSection):
    kind: Literal["replay"]
    source: ConfigPath
    """A folder of images, served in name order, or a video file."""
    rate_hz: float = Field(default=10, gt=0, le=1000)
    forever: bool = False
    """Begin again after the last image; otherwise the line ends there."""

    def create(self) -> "ReplayCamera":
        return ReplayCamera(self)


class ReplayCamera:
    """The next image is decoded before its trigger, so that decoding is no part of its age."""

    def __init__(self, config: ReplayConfig) -> None:
        self._config = config
        self._images: Iterator[Image | None] = iter(())
        self._clock = TriggerClock(config.rate_hz)
        self._number = 0
        self._next: Image | None = None
        self._has_next = False

    def open(self) -> None:
        source = self._config.source
        if not source.exists():
            raise CameraError(f"camera.source: {source}: no such folder or video file")
        self._images = self._forever() if self._config.forever else self._once()
        self._number = 0
        self._prefetch()
        if not self._has_next:
            raise CameraError(f"camera.source: {source}: holds no image ({', '.join(sorted(SUFFIXES))}) or video")
        self._clock = TriggerClock(self._config.rate_hz)

    def grab(self, timeout_ms: float) -> Shot | None:
        if not self._has_next:
            raise EndOfImages
        if not self._clock.wait(timeout_ms):
            return None
        image, now_ns = self._next, time.monotonic_ns()
        missed = MissedReason.BAD_FRAME if image is None else None
        shot = Shot(self._number, now_ns, now_ns, image, missed)
        self._number += 1
        self._prefetch()
        return shot

    def close(self) -> None:
        self._images = iter(())
        self._has_next = False

    def _prefetch(self) -> None:
        try:
            self._next = next(self._images)
            self._has_next = True
        except StopIteration:
            self._has_next = False

    def _forever(self) -> Iterator[Image | None]:
        while True:
            count = 0
            for image in self._once():
                count += 1
                yield image
            if count == 0:
                return

    def _once(self) -> Iterator[Image | None]:
        """None for a file that can't be decoded: its part exists all the same."""
        if self._config.source.is_file():
            yield from self._video(self._config.source)
            return
        for path in sorted(self._config.source.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                yield _grey_or_bgr(image, path)

    def _video(self, path: Path) -> Iterator[Image | None]:
        capture = cv2.VideoCapture(str(path))
        try:
            while True:
                is_read, image = capture.read()
                if not is_read:
                    return
                yield image
        finally:
            capture.release()


def _grey_or_bgr(image: Image | None, path: Path) -> Image | None:
    """8-bit grey or BGR; an alpha channel is dropped, 16 bits are scaled down."""
    if image is None:
        log.error("image can't be decoded", file=str(path))
        return None
    if image.dtype != "uint8":
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)
    if image.ndim == 3 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return image
