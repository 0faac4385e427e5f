"""Cameras that OpenCV reads: USB (UVC) by index or device path, network cameras by RTSP or HTTP URL. Free running.

Such a camera has no trigger and no frame counter, so nobody notices images that the camera or the network drops. If a stream
changes its size, FFmpeg scales the images to the size of the first one. For slow lines and first trials.
"""

import hashlib
import math
import os
import threading
import time
from dataclasses import replace
from typing import Annotated, Literal

import cv2
import structlog
from pydantic import Field, model_validator

from inspectd.camera.base import CLOSE_S, CameraSection, camera_errors
from inspectd.camera.proven_size import ProvenSize
from inspectd.errors import CameraError, InspectdError
from inspectd.ownership import Claim
from inspectd.part import Frame, Image, MissedReason
from inspectd.redaction import redacted

log = structlog.get_logger()

_OPEN_S = 10.0
_SILENCE_S = 2.5
"""Shorter than CLOSE_S, because FFmpeg can't be interrupted while it waits for a stream."""
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_FFMPEG_LOG, _QUIET = "OPENCV_FFMPEG_LOGLEVEL", "-8"
_LIVE = "rtsp_transport;tcp|fflags;nobuffer|fpsprobesize;0"
"""Without these options, FFmpeg holds the first images back to guess the frame rate, and all later images are late."""


class OpencvConfig(CameraSection):
    """A USB or network camera that runs free. For slow lines and first trials."""

    kind: Literal["opencv"]
    """A camera that OpenCV reads: USB (UVC) or network (RTSP, HTTP). It has no trigger input."""
    device: Annotated[int, Field(ge=0, le=1000)] | str
    """Which camera: 0 or /dev/video0 for a USB camera, rtsp://... or http://... for a network camera."""
    fourcc: str | None = Field(default=None, pattern=r"^[ -~]{4}$")
    """Pixel format code of a USB camera, such as MJPG or GREY. Without it, the camera decides."""
    width_px: int | None = Field(default=None, ge=16, le=16384)
    """Width of the images of a USB camera in pixels. Without it, the camera decides."""
    height_px: int | None = Field(default=None, ge=16, le=16384)
    """Height of the images of a USB camera in pixels. Without it, the camera decides."""
    rate_hz: float | None = Field(default=None, ge=1, le=1000)
    """Images per second of a USB camera; each image is one label. Without it, the camera decides."""
    exposure_us: float | None = Field(default=None, ge=100, le=10_000_000)
    """Exposure time of a USB camera in us, in steps of 100. It switches the automatic exposure off. A longer exposure gives
    brighter images, and more blur on a moving belt."""

    @model_validator(mode="after")
    def _streams_have_no_settings(self) -> "OpencvConfig":
        if self.is_stream and self.settings():
            raise ValueError(
                "a network camera has its settings on its own web page; allowed are device, max_age_ms and expect_every_s"
            )
        return self

    def known_exposure_ms(self) -> float:
        return (self.exposure_us or 0) / 1000

    def known_period_ms(self) -> float | None:
        return None if self.rate_hz is None else 1000 / self.rate_hz

    def known_size(self) -> tuple[int, int] | None:
        return None if self.width_px is None or self.height_px is None else (self.width_px, self.height_px)

    @property
    def is_stream(self) -> bool:
        return isinstance(self.device, str) and "://" in self.device

    @property
    def title(self) -> str:
        """Name of the camera in messages, without the secrets of its URL."""
        return redacted(f"camera.device {self.device}")

    @property
    def resolved(self) -> str:
        """One name per device, however the config names it."""
        if isinstance(self.device, int):
            return f"/dev/video{self.device}"
        if not self.is_stream:
            return redacted(os.path.realpath(self.device))
        # a recorder may distinguish its channels only by what is redacted; so short a hash reveals no password
        mark = hashlib.sha256(self.device.encode()).hexdigest()[:4]
        return f"{redacted(self.device)} ({mark})"

    def settings(self) -> list[tuple[str, int, float]]:
        """(name, OpenCV property, value) in the order that cameras need."""
        wanted = [
            ("fourcc", cv2.CAP_PROP_FOURCC, self.fourcc and cv2.VideoWriter.fourcc(*self.fourcc)),
            ("width_px", cv2.CAP_PROP_FRAME_WIDTH, self.width_px),
            ("height_px", cv2.CAP_PROP_FRAME_HEIGHT, self.height_px),
            ("rate_hz", cv2.CAP_PROP_FPS, self.rate_hz),
        ]
        if self.exposure_us is not None:
            wanted.append(("exposure_us: manual exposure", cv2.CAP_PROP_AUTO_EXPOSURE, 1))
            wanted.append(("exposure_us / 100", cv2.CAP_PROP_EXPOSURE, round(self.exposure_us / 100)))
        return [(name, prop, float(value)) for name, prop, value in wanted if value is not None]

    def create(self) -> "OpencvCamera":
        return OpencvCamera(self)


class OpencvCamera:
    """A separate thread reads and keeps only the latest image, so that a read that hangs can't block the line."""

    def __init__(self, config: OpencvConfig) -> None:
        self._config = config
        self._claim: Claim | None = None
        self._reader: _Reader | None = None
        self._size: ProvenSize | None = None

    def open(self) -> None:
        self.close()
        try:
            with camera_errors(self._config.title):
                self._claim = Claim(f"camera {self._config.resolved}")
                self._reader = _Reader(self._config)
                self._prove_that_it_delivers(self._reader)
        except InspectdError:
            self.close()
            raise

    def grab(self, timeout_ms: float) -> Frame | None:
        """As in the contract. A gap in the numbers means images that came while nobody asked for one."""
        if self._reader is None or self._size is None:
            raise CameraError(f"{self._config.title}: not open")
        frame = self._reader.take(timeout_ms / 1000)
        if frame is None and self._reader.silence_s() > _SILENCE_S:
            raise CameraError(f"{self._config.title}: no image for {_SILENCE_S:g} s")
        if frame is not None and frame.image is not None and not self._size.fits(frame.image):
            return replace(frame, image=None, missed=MissedReason.BAD_FRAME)
        return frame

    def close(self) -> None:
        reader, self._reader = self._reader, None
        claim, self._claim = self._claim, None
        if reader is not None:
            reader.stop()
        if claim is not None:
            claim.release()

    def _prove_that_it_delivers(self, reader: "_Reader") -> None:
        frame = reader.take(_OPEN_S)
        if frame is None or frame.image is None:
            raise CameraError(f"{self._config.title}: no image within {_OPEN_S:g} s")
        self._size = ProvenSize(self._config.title, frame.image)
        reader.count_from_here()


class _Reader:
    """Owns the device. Only its thread uses the device, so only that thread can hang."""

    def __init__(self, config: OpencvConfig) -> None:
        self._config = config
        self._exposure_ns = round((config.exposure_us or 0) * 1000)
        self._changed = threading.Condition()
        self._latest: Frame | None = None
        self._failure: CameraError | None = None
        self._number = 0
        self._last_ns = time.monotonic_ns()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="opencv", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Frame | None:
        """The latest frame, once; None if no frame came in time. Raises the CameraError that ended the reading."""
        with self._changed:
            self._changed.wait_for(lambda: self._latest or self._failure, timeout_s)
            if self._latest is None and self._failure is not None:
                raise self._failure
            frame, self._latest = self._latest, None
            return frame

    def count_from_here(self) -> None:
        with self._changed:
            self._number, self._latest = 0, None

    def silence_s(self) -> float:
        return (time.monotonic_ns() - self._last_ns) / 1e9

    def stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._failure = self._failure or CameraError(f"{self._config.title}: not open")
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("camera does not close; its thread is left behind", camera=self._config.title)

    def _run(self) -> None:
        try:
            self._read_on(_connect(self._config))
        except Exception as error:  # the next `take` raises it
            kind = "" if isinstance(error, CameraError) else f"{type(error).__name__}: "
            with self._changed:
                self._failure = CameraError(redacted(f"{self._config.title}: {kind}{error}"))
                self._changed.notify()

    def _read_on(self, capture: cv2.VideoCapture) -> None:
        try:
            apply(capture, self._config.settings())
            while not self._stopping.is_set():
                is_read, image = capture.read()
                if not is_read:
                    raise CameraError("not available any more, or its stream has ended")
                self._publish(image)
        finally:
            capture.release()

    def _publish(self, image: Image) -> None:
        now_ns = time.monotonic_ns()
        with self._changed:
            self._latest = Frame(self._number, now_ns - self._exposure_ns, now_ns, image)
            self._number += 1
            self._last_ns = now_ns
            self._changed.notify()


def apply(capture: cv2.VideoCapture, settings: list[tuple[str, int, float]]) -> None:
    """Set each (name, OpenCV property, value) and read it back. Raises CameraError if the camera has another value."""
    for name, prop, wanted in settings:
        capture.set(prop, wanted)
        got = capture.get(prop)
        if not math.isclose(got, wanted, rel_tol=0.01):
            raise CameraError(f"{name}: {_text(prop, wanted)} was set, but the camera reports {_text(prop, got)}")


def _connect(config: OpencvConfig) -> cv2.VideoCapture:
    if config.is_stream:
        options = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(_OPEN_S * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: round(_SILENCE_S * 1000),
            cv2.CAP_PROP_N_THREADS: 1,  # more threads would hold back more images
        }
        os.environ.setdefault(_FFMPEG_LOG, _QUIET)  # it would print URLs with their passwords
        os.environ[_OPTIONS] = _LIVE
        try:
            capture = cv2.VideoCapture(
                config.device, cv2.CAP_FFMPEG, [each for pair in options.items() for each in pair]
            )
        finally:
            del os.environ[_OPTIONS]  # video files that are read with these options lose their first image
    else:
        capture = cv2.VideoCapture(config.device, cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if not capture.isOpened():
        raise CameraError("can't be opened")
    return capture


def _text(prop: int, value: float) -> str:
    if prop != cv2.CAP_PROP_FOURCC:
        return f"{value:g}"
    return int(value).to_bytes(4, "little", signed=False).decode("latin-1")
