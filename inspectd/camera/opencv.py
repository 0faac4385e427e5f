"""Cameras that OpenCV reads: USB (UVC) by index or device path, network cameras by RTSP or HTTP URL. Free running.

No trigger and no frame counter: what such a camera drops cannot be noticed. For slow lines and first trials.
"""

import threading
import time
from typing import Literal

import cv2
import structlog
from pydantic import Field

from inspectd.camera.base import CameraSection
from inspectd.errors import CameraError
from inspectd.part import Image, Shot

log = structlog.get_logger()

_OPEN_TIMEOUT_MS = 5000
_SILENCE_S = 3.0


class OpencvConfig(CameraSection):
    kind: Literal["opencv"]
    device: int | str
    """0 or /dev/video0 for USB, rtsp://... for a network camera."""
    width: int | None = Field(default=None, ge=16, le=16384)
    """px; as the camera likes where left out."""
    height: int | None = Field(default=None, ge=16, le=16384)
    rate_hz: float | None = Field(default=None, gt=0, le=1000)
    fourcc: str | None = Field(default=None, pattern=r"^[ -~]{4}$")
    """Pixel format code, e.g. MJPG or GREY."""

    def create(self) -> "OpencvCamera":
        return OpencvCamera(self)


class OpencvCamera:
    """A reader thread keeps only the latest image, so that a read that hangs can't hang the line."""

    def __init__(self, config: OpencvConfig) -> None:
        self._config = config
        self._reader: _Reader | None = None
        self._number = 0

    def open(self) -> None:
        self.close()
        capture = cv2.VideoCapture(
            self._config.device,
            cv2.CAP_ANY,
            [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS]
            if isinstance(self._config.device, str) and "://" in self._config.device
            else [],
        )
        if not capture.isOpened():
            raise CameraError(f"camera.device {self._config.device!r}: can't be opened")
        try:
            self._apply(capture)
        except CameraError:
            capture.release()
            raise
        self._number = 0
        self._reader = _Reader(capture)
        if self._reader.take(_OPEN_TIMEOUT_MS / 1000) is None:
            self.close()
            raise CameraError(f"camera.device {self._config.device!r}: opened, but delivers no image")

    def grab(self, timeout_ms: float) -> Shot | None:
        if self._reader is None:
            raise CameraError("camera is not open")
        taken = self._reader.take(timeout_ms / 1000)
        if taken is None:
            if self._reader.silent_s() > _SILENCE_S:
                raise CameraError(f"camera.device {self._config.device!r}: no image for {_SILENCE_S:g} s")
            return None
        image, arrival_ns = taken
        shot = Shot(self._number, arrival_ns, arrival_ns, image)
        self._number += 1
        return shot

    def close(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _apply(self, capture: cv2.VideoCapture) -> None:
        fourcc = cv2.VideoWriter.fourcc(*self._config.fourcc) if self._config.fourcc else None
        for name, prop, value in (
            ("fourcc", cv2.CAP_PROP_FOURCC, fourcc),
            ("width", cv2.CAP_PROP_FRAME_WIDTH, self._config.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, self._config.height),
            ("rate_hz", cv2.CAP_PROP_FPS, self._config.rate_hz),
        ):
            if value is None:
                continue
            capture.set(prop, value)
            found = capture.get(prop)
            if abs(found - value) > 0.01 * value:
                raise CameraError(f"camera.{name}: {value} was set, the camera says {found:g}")


class _Reader:
    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._latest: tuple[Image, int] | None = None
        self._last_ns = time.monotonic_ns()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="opencv", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> tuple[Image, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None, timeout_s)
            taken, self._latest = self._latest, None
            return taken

    def silent_s(self) -> float:
        return (time.monotonic_ns() - self._last_ns) / 1e9

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(timeout=2)
        if self._thread.is_alive():
            log.warning("a read of the camera hangs and is left behind")

    def _run(self) -> None:
        while not self._stopping:
            is_read, image = self._capture.read()
            if not is_read:
                time.sleep(0.02)
                continue
            with self._changed:
                self._last_ns = time.monotonic_ns()
                self._latest = (image, self._last_ns)
                self._changed.notify()
        self._capture.release()
