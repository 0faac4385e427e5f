"""Basler cameras through the pylon SDK, and the SDK's own emulator of one."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Literal

import structlog

from inspectd.camera.base import CLOSE_S, camera_errors
from inspectd.camera.clock import CameraClock, TriggerClock
from inspectd.camera.image_files import photos_to_play
from inspectd.camera.proven_size import ProvenSize
from inspectd.camera.pylon import emulator
from inspectd.camera.pylon.frame_counter import FrameCounter
from inspectd.camera.pylon.nodes import Nodes, brief
from inspectd.camera.pylon.one_image import demand_one_image_per_trigger
from inspectd.camera.pylon.settings import (
    LineTrigger,
    PylonSettings,
    SoftwareTrigger,
    apply,
    check_age,
    shortest_period_ns,
)
from inspectd.errors import CameraError, InspectdError
from inspectd.ownership import Claim
from inspectd.part import Frame, Image, MissedReason

log = structlog.get_logger()

_PROBE_MS = 5000
_PROBES = 3
_SILENCE_S = 2.0


class PylonConfig(PylonSettings):
    """A Basler camera."""

    kind: Literal["pylon"]
    """A Basler camera through the pylon SDK, or the SDK's camera emulator."""

    def create(self) -> "PylonCamera":
        return PylonCamera(self)

    def repeats_after(self) -> int | None:
        return None if self.emulated is None else len(photos_to_play(self.emulated.images))


class PylonCamera:
    """Any thread may call `set_user_output` and `user_output`; one thread calls all other methods.

    An image for which the host has no buffer is a gap in the frame numbers. Without a software trigger, `t_trigger_ns` is the
    start of the exposure minus `delay_us`, plus a constant: the fastest readout and transfer seen.
    """

    def __init__(self, config: PylonConfig) -> None:
        self._config = config
        self._sdk: Any = None
        self._camera: Any = None
        self._converter: Any = None
        self._claim: Claim | None = None
        self._links: TemporaryDirectory[str] | None = None
        self._outputs: _UserOutputs | None = None
        self._trigger_clock: TriggerClock | None = None
        self._camera_clock = CameraClock(1)
        self._tick_hz = 1_000_000_000
        self._counter = FrameCounter()
        self._failure: CameraError | None = None
        self._size: ProvenSize | None = None
        self._triggers = 0
        self._silence_limit_s = float("inf")
        self._last_s = 0.0

    @property
    def instant_camera(self) -> Any:
        """The SDK's own object, for features without a setting here; None while the camera is closed."""
        return self._camera

    def open(self) -> None:
        self.close()
        try:
            with self._sdk_errors():
                from pypylon import pylon

                self._sdk = pylon
                self._camera = self._connect()
                nodes = Nodes(self._camera)
                self._configure(nodes)
                self._converter = self._converter_from(str(nodes.get("PixelFormat")))
                self._prove_that_it_delivers()
                self._start(nodes)
        except InspectdError:
            self.close()
            raise

    def grab(self, timeout_ms: float) -> Frame | None:
        if self._camera is None:
            raise CameraError(f"{self._name}: not open")
        if self._failure is not None:
            raise self._failure
        with self._sdk_errors():
            if self._trigger_clock is not None:
                return self._grab_triggered(self._trigger_clock, timeout_ms)
            return self._grab_running(timeout_ms)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        outputs, self._outputs = self._outputs, None
        claim, self._claim = self._claim, None
        links, self._links = self._links, None
        if camera is not None:
            # the SDK may hang when the cable of a camera was pulled
            worker = threading.Thread(target=self._close, args=(camera, outputs), name="pylon-close", daemon=True)
            worker.start()
            worker.join(CLOSE_S)
            if worker.is_alive():
                log.error("camera does not close; its thread is left behind", camera=self._name)
        if claim is not None:
            claim.release()
        if links is not None:
            links.cleanup()

    def set_user_output(self, line: str, level: bool) -> None:
        """Set a user output (such as UserOutput1) and read it back. Raises CameraError."""
        outputs = self._outputs
        if outputs is None:
            raise CameraError(f"{self._name}: not open")
        with self._sdk_errors():
            outputs.set(line, level)

    def user_output(self, line: str) -> bool:
        """Level of a user output as the camera reports it now. Raises CameraError."""
        outputs = self._outputs
        if outputs is None:
            raise CameraError(f"{self._name}: not open")
        with self._sdk_errors():
            return outputs.get(line)

    def _connect(self) -> Any:
        """Open the camera that the config names. An emulated camera is never used for a real one, or the other way round."""
        if self._config.emulated is not None:
            os.environ.setdefault(emulator.ENABLED_BY, "1")
        factory = self._sdk.TlFactory.GetInstance()
        found = [
            device
            for device in factory.EnumerateDevices()
            if (device.GetDeviceClass() == emulator.DEVICE_CLASS) == (self._config.emulated is not None)
        ]
        for device in found:
            if self._config.serial not in (None, device.GetSerialNumber()):
                continue
            if self._config.user_id not in (None, device.GetUserDefinedName()):
                continue
            if self._config.emulated is None:
                self._claim = Claim(f"camera {device.GetSerialNumber()}")
            camera = self._sdk.InstantCamera(factory.CreateDevice(device))
            camera.Open()
            return camera
        others = ", ".join(device.GetFriendlyName() for device in found) or "none"
        raise CameraError(f"{self._name}: not found; cameras found: {others}")

    def _configure(self, nodes: Nodes) -> None:
        if self._config.feature_file is not None:
            nodes.load(self._config.feature_file)
        demand_one_image_per_trigger(nodes)
        if self._config.emulated is not None:
            self._links = emulator.serve(self._config.emulated.images, nodes)
        apply(self._config, nodes)

    def _converter_from(self, pixel_format: str) -> Any:
        converter = self._sdk.ImageFormatConverter()
        is_grey = pixel_format.startswith("Mono")
        converter.OutputPixelFormat = self._sdk.PixelType_Mono8 if is_grey else self._sdk.PixelType_BGR8packed
        return converter

    def _prove_that_it_delivers(self) -> None:
        """Take one complete image, then stop: frame numbers, and the emulator's files, start again."""
        self._camera.StartGrabbing(self._sdk.GrabStrategy_OneByOne)
        for _ in range(_PROBES):
            if isinstance(self._config.trigger, SoftwareTrigger):
                self._await_ready()
                self._camera.ExecuteSoftwareTrigger()
            with self._camera.RetrieveResult(_PROBE_MS, self._sdk.TimeoutHandling_Return) as result:
                if not result.IsValid():
                    raise CameraError(f"{self._name}: connected, but no image within {_PROBE_MS / 1000:g} s")
                if result.GrabSucceeded():
                    self._size = ProvenSize(self._name, self._image(result))
                    self._camera.StopGrabbing()
                    return
                problem = result.ErrorDescription
        raise CameraError(f"{self._name}: connected, but {_PROBES} images in a row were incomplete: {problem}")

    def _start(self, nodes: Nodes) -> None:
        trigger = self._config.trigger
        check_age(self._config, nodes)
        exposure_us = nodes.get("exposure_us") or 0.0
        self._trigger_clock = None
        self._silence_limit_s = float("inf")
        if isinstance(trigger, SoftwareTrigger):
            self._trigger_clock = TriggerClock(trigger.rate_hz)
        elif isinstance(trigger, LineTrigger):
            nodes.set("TriggerMode", "On")
        else:
            period_s = 1 / trigger.rate_hz if trigger.rate_hz else 0.0
            self._silence_limit_s = _SILENCE_S + 3 * max(period_s, exposure_us / 1e6)
        self._tick_hz = nodes.get("GevTimestampTickFrequency") or 1_000_000_000
        self._camera_clock = CameraClock(self._tick_hz, round((exposure_us + self._config.delay_us) * 1e3))
        self._counter = FrameCounter(shortest_period_ns(nodes))
        self._failure = None
        self._triggers = 0
        self._last_s = time.monotonic()
        self._camera.StartGrabbing(self._sdk.GrabStrategy_OneByOne)
        self._outputs = _UserOutputs(nodes)

    def _grab_triggered(self, clock: TriggerClock, timeout_ms: float) -> Frame | None:
        """Trigger once and wait for one image. An image that may belong to an earlier trigger is never used for this one."""
        self._await_ready()
        if self._camera.RetrieveResult(0, self._sdk.TimeoutHandling_Return).IsValid():
            raise CameraError(
                f"{self._name}: an image came without a trigger; check bursts and automatic functions of the camera"
            )
        if not clock.wait(timeout_ms):
            return None
        number, self._triggers = self._triggers, self._triggers + 1
        t_trigger_ns = time.monotonic_ns()
        self._camera.ExecuteSoftwareTrigger()
        with self._camera.RetrieveResult(round(self._config.max_age_ms), self._sdk.TimeoutHandling_Return) as result:
            t_arrival_ns = time.monotonic_ns()
            if result.IsValid():
                return self._frame(result, number, t_trigger_ns, t_arrival_ns)
        self._raise_if_gone()
        self._camera.StopGrabbing()
        self._camera.StartGrabbing(self._sdk.GrabStrategy_OneByOne)
        return Frame(number, t_trigger_ns, t_arrival_ns, None, MissedReason.LOST_FRAME)

    def _grab_running(self, timeout_ms: float) -> Frame | None:
        with self._camera.RetrieveResult(round(timeout_ms), self._sdk.TimeoutHandling_Return) as result:
            t_arrival_ns = time.monotonic_ns()
            if not result.IsValid():
                self._raise_if_gone()
                return None
            self._last_s = t_arrival_ns / 1e9
            # the timestamp of an incomplete frame may be wrong, too
            ticks = result.TimeStamp if result.GrabSucceeded() else 0
            t_trigger_ns = self._camera_clock.to_host_ns(ticks, t_arrival_ns)
            try:
                number = self._counter.number(result.BlockID, ticks * 1_000_000_000 // self._tick_hz if ticks else None)
            except CameraError as error:  # the frame is a label all the same; the next grab raises the error
                self._failure = CameraError(f"{self._name}: {error}")
                return Frame(self._counter.last + 1, t_trigger_ns, t_arrival_ns, None, MissedReason.BAD_FRAME)
            return self._frame(result, number, t_trigger_ns, t_arrival_ns)

    def _frame(self, result: Any, number: int, t_trigger_ns: int, t_arrival_ns: int) -> Frame:
        if not result.GrabSucceeded():
            self._raise_if_gone()
            return Frame(number, t_trigger_ns, t_arrival_ns, None, MissedReason.BAD_FRAME)
        image = self._image(result)
        if self._size is None or not self._size.fits(image):
            return Frame(number, t_trigger_ns, t_arrival_ns, None, MissedReason.BAD_FRAME)
        return Frame(number, t_trigger_ns, t_arrival_ns, image)

    def _image(self, result: Any) -> Image:
        """A copy of the buffer (9 us for 640x480), because the camera fills the buffer again."""
        if result.PixelType in (self._sdk.PixelType_Mono8, self._sdk.PixelType_BGR8packed):
            image: Image = result.Array
        else:
            image = self._converter.Convert(result).GetArray()
        return image

    def _await_ready(self) -> None:
        """Wait until the camera accepts a trigger. A busy camera ignores triggers without an error."""
        if self._camera.CanWaitForFrameTriggerReady():
            self._camera.WaitForFrameTriggerReady(round(self._config.max_age_ms), self._sdk.TimeoutHandling_Return)

    def _raise_if_gone(self) -> None:
        """Raises CameraError. This is polled, because the SDK does not always call its removal callbacks."""
        if self._camera.IsCameraDeviceRemoved() or not self._camera.IsGrabbing():
            raise CameraError(f"{self._name}: was removed or has stopped")
        if time.monotonic() - self._last_s > self._silence_limit_s:
            raise CameraError(f"{self._name}: runs free, but has sent no image for {self._silence_limit_s:.1f} s")

    def _close(self, camera: Any, outputs: "_UserOutputs | None") -> None:
        try:
            with self._sdk_errors():
                if outputs is not None:
                    outputs.detach()
                camera.Close()
        except CameraError as error:
            log.warning("camera did not close properly", error=str(error))

    @contextmanager
    def _sdk_errors(self) -> Iterator[None]:
        with camera_errors(self._name):
            from pypylon import genicam

            try:
                yield
            except genicam.GenericException as error:
                raise CameraError(f"{self._name}: {brief(error)}") from error

    @property
    def _name(self) -> str:
        wanted = self._config.serial or self._config.user_id or ("emulated" if self._config.emulated else "first found")
        return f"camera {wanted}"


class _UserOutputs:
    """One caller at a time, because selector and value are two nodes. No caller while the camera closes."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes: Nodes | None = nodes
        self._one_at_a_time = threading.Lock()

    def set(self, line: str, level: bool) -> None:
        with self._one_at_a_time:
            if self._nodes is None:
                raise CameraError("camera: not open")
            self._nodes.set("UserOutputSelector", line)
            self._nodes.set("UserOutputValue", level)

    def get(self, line: str) -> bool:
        with self._one_at_a_time:
            if self._nodes is None:
                raise CameraError("camera: not open")
            self._nodes.set("UserOutputSelector", line)
            return bool(self._nodes.get("UserOutputValue"))

    def detach(self) -> None:
        with self._one_at_a_time:
            self._nodes = None
