"""Basler cameras through the pylon SDK, and Basler's own emulator of one.

Node names differ between families: GigE cameras before SFNC say `ExposureTimeAbs`, USB3 and ace 2 say `ExposureTime`.
`_NODES` lists what each setting is called, newest name first.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import structlog
from pydantic import Field

from inspectd.camera.base import CameraSection
from inspectd.camera.clock import CameraTime, TriggerClock
from inspectd.errors import CameraError
from inspectd.part import MissedReason, Shot
from inspectd.section import ConfigPath, Section

log = structlog.get_logger()

_NODES = {
    "exposure_us": ("ExposureTime", "ExposureTimeAbs"),
    "gain": ("Gain", "GainRaw"),
    "rate_hz": ("AcquisitionFrameRate", "AcquisitionFrameRateAbs"),
    "debounce_us": ("LineDebouncerTime", "LineDebouncerTimeAbs", "BslInputFilterTime"),
    "delay_us": ("TriggerDelay", "TriggerDelayAbs"),
    "packet_size": ("GevSCPSPacketSize",),
    "inter_packet_delay": ("GevSCPD",),
}
_PROBE_TIMEOUT_MS = 3000
_CLOSE_TIMEOUT_S = 5.0
_BUFFERS = 16


class RegionPx(Section):
    """Part of the sensor that is read out, in px; must fit the camera's increments."""

    offset_x: int = Field(default=0, ge=0)
    offset_y: int = Field(default=0, ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class FreeRun(Section):
    """The camera takes images at its own rate; each is a part."""

    source: Literal["free_run"]
    rate_hz: float | None = Field(default=None, gt=0, le=10_000)


class SoftwareTrigger(Section):
    """The daemon triggers at a steady rate and waits for each image before the next."""

    source: Literal["software"]
    rate_hz: float = Field(gt=0, le=1000)
    timeout_ms: float = Field(default=200, gt=0, le=10_000)
    """A trigger unanswered for this long is a `lost_frame`."""


class LineTrigger(Section):
    """A light barrier on one of the camera's inputs."""

    source: Literal["line"]
    line: str = "Line1"
    activation: Literal["RisingEdge", "FallingEdge"] = "RisingEdge"
    debounce_us: float | None = Field(default=None, ge=0, le=20_000)
    delay_us: float | None = Field(default=None, ge=0, le=1_000_000)


class Emulator(Section):
    """Basler's camera emulator serves image files through the real SDK."""

    images: ConfigPath
    """Folder, served in name order and again from the start."""


class PylonConfig(CameraSection):
    kind: Literal["pylon"]
    serial: str | None = None
    user_id: str | None = None
    """The first camera found where neither is given."""
    emulated: Emulator | None = None
    feature_file: ConfigPath | None = None
    """.pfs as pylon Viewer saves it; loaded first, the settings here go on top."""
    pixel_format: str = "Mono8"
    exposure_us: float | None = Field(default=None, gt=0, le=10_000_000)
    gain: float | None = Field(default=None, ge=0)
    region: RegionPx | None = None
    trigger: FreeRun | SoftwareTrigger | LineTrigger = Field(discriminator="source")
    packet_size: int | None = Field(default=None, ge=220, le=16404)
    """Bytes, GigE only."""
    inter_packet_delay: int | None = Field(default=None, ge=0)
    """Ticks, GigE only."""

    def create(self) -> "PylonCamera":
        return PylonCamera(self)


class PylonCamera:
    """`set_user_output` may be called from another thread while this one grabs."""

    def __init__(self, config: PylonConfig) -> None:
        self._config = config
        self._camera: Any = None
        self._pylon: Any = None
        self._converter: Any = None
        self._io = threading.Lock()
        self._number = 0
        self._camera_time = CameraTime()
        self._ns_per_tick = 1.0
        self._exposure_ns = 0
        trigger = config.trigger
        self._clock = TriggerClock(trigger.rate_hz) if isinstance(trigger, SoftwareTrigger) else None

    def open(self) -> None:
        if self._config.emulated is not None:
            self._emulate(self._config.emulated.images)
        from pypylon import genicam, pylon

        self._pylon = pylon
        self.close()
        try:
            self._camera = self._find()
            self._camera.Open()
            self._apply_all()
            self._prove_that_it_delivers()
            self._start()
        except genicam.GenericException as error:
            self.close()
            raise CameraError(f"{self._name}: {_first_line(error)}") from error
        except CameraError:
            self.close()
            raise

    def grab(self, timeout_ms: float) -> Shot | None:
        from pypylon import genicam

        if self._camera is None:
            raise CameraError(f"{self._name}: not open")
        try:
            if self._clock is not None:
                return self._trigger_and_grab(timeout_ms)
            result = self._camera.RetrieveResult(round(timeout_ms), self._pylon.TimeoutHandling_Return)
            if not result.IsValid():
                self._check_present()
                return None
            return self._shot(result, None)
        except genicam.GenericException as error:
            raise CameraError(f"{self._name}: {_first_line(error)}") from error

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is None:
            return
        # closing a camera whose cable was pulled may hang in the SDK
        closing = threading.Thread(target=_close, args=(camera,), name="pylon-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)
        if closing.is_alive():
            log.error("camera does not close and is left behind", camera=self._name)

    def set_user_output(self, line: str, level: bool) -> None:
        """Drive a user output and read it back. Raises CameraError."""
        from pypylon import genicam

        with self._io:
            if self._camera is None:
                raise CameraError(f"{self._name}: not open")
            try:
                self._camera.UserOutputSelector.Value = line
                self._camera.UserOutputValue.Value = level
                found = self._camera.UserOutputValue.Value
            except genicam.GenericException as error:
                raise CameraError(f"{self._name}: {line}: {_first_line(error)}") from error
        if found != level:
            raise CameraError(f"{self._name}: {line} was set {level}, reads back {found}")

    def _emulate(self, images: Path) -> None:
        if not images.is_dir() or not any(images.iterdir()):
            raise CameraError(f"camera.emulated.images: {images}: no such folder, or empty")
        os.environ["PYLON_CAMEMU"] = "1"

    def _find(self) -> Any:
        factory = self._pylon.TlFactory.GetInstance()
        devices = factory.EnumerateDevices()
        for device in devices:
            if self._config.emulated is not None and device.GetDeviceClass() != "BaslerCamEmu":
                continue
            if self._config.serial not in (None, device.GetSerialNumber()):
                continue
            if self._config.user_id not in (None, device.GetUserDefinedName()):
                continue
            camera = self._pylon.InstantCamera(factory.CreateDevice(device))
            camera.MaxNumBuffer.Value = _BUFFERS
            return camera
        found = ", ".join(f"{device.GetModelName()} {device.GetSerialNumber()}" for device in devices) or "none"
        raise CameraError(f"{self._name}: not found; cameras that answer: {found}")

    def _apply_all(self) -> None:
        config = self._config
        if config.feature_file is not None:
            if not config.feature_file.is_file():
                raise CameraError(f"camera.feature_file: {config.feature_file}: no such file")
            self._pylon.FeaturePersistence.Load(str(config.feature_file), self._camera.GetNodeMap(), True)
        if config.emulated is not None:
            self._set("TestImageSelector", "Off")
            self._set("ImageFilename", str(config.emulated.images))
            self._set("ImageFileMode", "On")
        self._set("PixelFormat", config.pixel_format)
        if config.region is not None:
            self._set("OffsetX", 0)
            self._set("OffsetY", 0)
            self._set("Width", config.region.width)
            self._set("Height", config.region.height)
            self._set("OffsetX", config.region.offset_x)
            self._set("OffsetY", config.region.offset_y)
        elif config.emulated is not None:
            self._fit_emulated_image(config.emulated.images)
        for setting in ("exposure_us", "gain", "packet_size", "inter_packet_delay"):
            value = getattr(config, setting)
            if value is not None:
                self._set_any(setting, value)
        exposure = self._node(*_NODES["exposure_us"])
        self._exposure_ns = round(exposure.GetValue() * 1000) if exposure is not None else 0
        ticks = self._node("GevTimestampTickFrequency")
        self._ns_per_tick = 1e9 / ticks.GetValue() if ticks is not None else 1.0
        self._apply_trigger()

    def _fit_emulated_image(self, images: Path) -> None:
        """The emulator crops or pads to its own size: take the files'."""
        import cv2

        first = next(
            (image for path in sorted(images.iterdir()) if (image := cv2.imread(str(path))) is not None), None
        )
        if first is None:
            raise CameraError(f"camera.emulated.images: {images}: holds no image")
        self._set("Width", first.shape[1])
        self._set("Height", first.shape[0])

    def _apply_trigger(self) -> None:
        trigger = self._config.trigger
        self._set("TriggerSelector", "FrameStart")
        self._set("TriggerMode", "Off")
        if isinstance(trigger, FreeRun):
            if trigger.rate_hz is not None:
                self._set("AcquisitionFrameRateEnable", True)
                self._set_any("rate_hz", trigger.rate_hz)
            return
        if self._node("AcquisitionFrameRateEnable") is not None:
            self._set("AcquisitionFrameRateEnable", False)  # a limit on the rate would swallow triggers
        if isinstance(trigger, LineTrigger):
            self._set("TriggerSource", trigger.line)
            self._set("TriggerActivation", trigger.activation)
            if trigger.delay_us is not None:
                self._set_any("delay_us", trigger.delay_us)
            if trigger.debounce_us is not None:
                self._set("LineSelector", trigger.line)
                self._set_any("debounce_us", trigger.debounce_us)
            return
        self._set("TriggerSource", "Software")

    def _prove_that_it_delivers(self) -> None:
        """One free-running image; the emulator would count it as its first, so its files are set again."""
        self._camera.StartGrabbingMax(1, self._pylon.GrabStrategy_OneByOne)
        result = self._camera.RetrieveResult(_PROBE_TIMEOUT_MS, self._pylon.TimeoutHandling_Return)
        if not result.IsValid():
            raise CameraError(f"{self._name}: connected, but no image within {_PROBE_TIMEOUT_MS / 1000:g} s")
        result.Release()
        self._camera.StopGrabbing()
        if self._config.emulated is not None:
            self._set("ImageFileMode", "Off")
            self._set("ImageFilename", str(self._config.emulated.images))
            self._set("ImageFileMode", "On")

    def _start(self) -> None:
        if not isinstance(self._config.trigger, FreeRun):
            self._set("TriggerMode", "On")
        self._number = 0
        self._camera_time = CameraTime()
        if isinstance(self._config.trigger, SoftwareTrigger):
            self._clock = TriggerClock(self._config.trigger.rate_hz)
        self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)

    def _trigger_and_grab(self, timeout_ms: float) -> Shot | None:
        """One trigger, one answer: a late image can't be taken for the next part's. A camera that is not ready yet
        would swallow the trigger, so it is waited for."""
        assert self._clock is not None
        assert isinstance(self._config.trigger, SoftwareTrigger)
        if not self._clock.wait(timeout_ms):
            return None
        self._camera.WaitForFrameTriggerReady(
            round(self._config.trigger.timeout_ms), self._pylon.TimeoutHandling_Return
        )
        number, self._number = self._number, self._number + 1
        t_trigger_ns = time.monotonic_ns()
        self._camera.TriggerSoftware.Execute()
        result = self._camera.RetrieveResult(round(self._config.trigger.timeout_ms), self._pylon.TimeoutHandling_Return)
        if result.IsValid():
            return self._shot(result, (number, t_trigger_ns))
        self._check_present()
        self._camera.StopGrabbing()
        self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
        return Shot(number, t_trigger_ns, time.monotonic_ns(), None, MissedReason.LOST_FRAME)

    def _shot(self, result: Any, triggered: tuple[int, int] | None) -> Shot:
        t_arrival_ns = time.monotonic_ns()
        try:
            number, t_trigger_ns = triggered or (int(result.BlockID), self._taken_ns(int(result.TimeStamp), t_arrival_ns))
            if not result.GrabSucceeded():
                return Shot(number, t_trigger_ns, t_arrival_ns, None, MissedReason.BAD_FRAME)
            return Shot(number, t_trigger_ns, t_arrival_ns, self._image(result))
        finally:
            result.Release()

    def _image(self, result: Any) -> np.ndarray:
        if result.PixelType == self._pylon.PixelType_Mono8:
            image: np.ndarray = result.Array  # a copy of the buffer
            return image
        if self._converter is None:
            self._converter = self._pylon.ImageFormatConverter()
            self._converter.OutputPixelFormat = self._pylon.PixelType_BGR8packed
        return np.array(self._converter.Convert(result).GetArray())

    def _taken_ns(self, ticks: int, t_arrival_ns: int) -> int:
        if ticks == 0:
            return t_arrival_ns - self._exposure_ns
        return self._camera_time.to_host_ns(round(ticks * self._ns_per_tick), t_arrival_ns)

    def _check_present(self) -> None:
        if self._camera.IsCameraDeviceRemoved():
            raise CameraError(f"{self._name}: has been removed")

    def _set_any(self, setting: str, value: float) -> None:
        """Sets the first node of this setting that the camera has; one it lacks is an error."""
        names = _NODES[setting]
        for name in names:
            if self._node(name) is not None:
                self._set(name, value)
                return
        raise CameraError(f"camera.{setting}: this camera has none of the nodes {', '.join(names)}")

    def _set(self, name: str, value: object) -> None:
        """Set a node and read it back. Raises CameraError with what is allowed."""
        from pypylon import genicam

        node = self._node(name)
        if node is None:
            raise CameraError(f"{self._name}: has no node {name}")
        try:
            node.SetValue(int(value) if isinstance(value, float) and hasattr(node, "GetInc") and value.is_integer() else value)
            found = node.GetValue()
        except (genicam.GenericException, TypeError) as error:
            raise CameraError(f"{self._name}: {name} = {value}: {_first_line(error)}; {_allowed(node)}") from error
        if isinstance(value, float) and abs(found - value) <= 0.01 * abs(value) + 1:
            return
        if found != value:
            raise CameraError(f"{self._name}: {name} was set to {value}, the camera says {found}; {_allowed(node)}")

    def _node(self, *names: str) -> Any:
        nodes = self._camera.GetNodeMap()
        for name in names:
            node = nodes.GetNode(name)
            if node is not None and node.IsValid():
                return getattr(self._camera, name)
        return None

    @property
    def _name(self) -> str:
        wanted = self._config.serial or self._config.user_id or ("emulated" if self._config.emulated else "first found")
        return f"camera {wanted}"


def _close(camera: Any) -> None:
    from pypylon import genicam

    try:
        camera.Close()
    except genicam.GenericException as error:
        log.warning("camera did not close properly", error=_first_line(error))


def _allowed(node: Any) -> str:
    if hasattr(node, "GetSymbolics"):
        return f"allowed: {', '.join(node.GetSymbolics())}"
    if hasattr(node, "GetMin"):
        return f"allowed: {node.GetMin()} to {node.GetMax()}"
    return "not allowed now"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
