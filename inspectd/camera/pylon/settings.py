"""The settings of a Basler camera, and how they are applied."""

from typing import Literal

from pydantic import Field, model_validator

from inspectd.camera.base import CameraSection
from inspectd.camera.pylon.nodes import Nodes
from inspectd.errors import CameraError
from inspectd.section import ConfigPath, Section


class SensorRegion(Section):
    """The part of the sensor that is read out. Positions and sizes must be multiples of the camera's increments."""

    offset_x_px: int = Field(default=0, ge=0, le=65_535)
    """Distance of the region from the left edge of the sensor in pixels."""
    offset_y_px: int = Field(default=0, ge=0, le=65_535)
    """Distance of the region from the top edge of the sensor in pixels."""
    width_px: int = Field(ge=1, le=65_536)
    """Width of the region in pixels."""
    height_px: int = Field(ge=1, le=65_536)
    """Height of the region in pixels. Fewer rows allow a higher frame rate."""


class FreeRun(Section):
    """The camera takes images at its own rate, without a trigger. Each image is one label."""

    source: Literal["free_run"]
    """The camera takes images at its own rate, without a trigger."""
    rate_hz: float | None = Field(default=None, ge=1, le=10_000)
    """Images per second. Without it, the camera runs as fast as it can."""


class SoftwareTrigger(Section):
    """The daemon triggers the camera at a steady rate, for tests without a light barrier."""

    source: Literal["software"]
    """The daemon triggers the camera at a steady rate. A trigger without an image after max_age_ms is a `lost_frame`."""
    rate_hz: float = Field(ge=0.01, le=1000)
    """Triggers per second. Must not exceed the rate that exposure, region and bandwidth of the camera allow."""


class LineTrigger(Section):
    """A light barrier on an input of the camera triggers each image.

    The camera ignores a trigger while it is busy with the image before. So the time between two labels must be longer than
    the shortest frame period of the camera.
    """

    source: Literal["line"]
    """A light barrier on an input of the camera triggers each image. The camera ignores a trigger while it is busy with the
    image before, so the time between two labels must be longer than its shortest frame period."""
    line: str = "Line1"
    """Input of the camera that the light barrier is connected to, as the camera names it: Line1 to Line4, by model."""
    activation: Literal["rising", "falling"] = "rising"
    """Edge of the input that triggers the image."""
    debounce_us: float | None = Field(default=None, ge=0, le=20_000)
    """Pulses on the input shorter than this, in us, are ignored. Each trigger comes later by the same time. Without it, the
    camera keeps its own setting."""
    delay_us: float = Field(default=0, ge=0, le=1_000_000)
    """Time in us from the edge of the input to the start of the exposure."""


Trigger = FreeRun | SoftwareTrigger | LineTrigger


class Emulator(Section):
    """Use the camera emulator of the pylon SDK in place of a real camera."""

    images: ConfigPath
    """Folder of images (png, bmp, jpg, tif). They are played in the order of their names, again and again."""


class PylonSettings(CameraSection):
    """The settings of a Basler camera."""

    serial: str | None = None
    """Serial number as printed on the camera, in quotes. Without serial and user_id, the first camera found is used."""
    user_id: str | None = None
    """Name that is stored in the camera, in place of its serial number."""
    emulated: Emulator | None = None
    """Use the camera emulator of the pylon SDK in place of a real camera. Without it, only real cameras are used."""
    feature_file: ConfigPath | None = None
    """Settings file (.pfs) as saved by pylon Viewer. It is loaded first, then the settings of this section are applied."""
    pixel_format: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]+$")
    """Pixel format of the camera, such as Mono8. Mono8 gives grey images without conversion. Colour and Bayer formats are
    converted to BGR, and formats with more than 8 bits are reduced to 8. Without it, the camera keeps its own setting."""
    exposure_us: float | None = Field(default=None, gt=0, le=10_000_000)
    """Exposure time in us. It switches the automatic exposure off. A longer exposure gives brighter images, and more blur on
    a moving belt. Without it, the camera keeps its own setting."""
    gain_db: float | None = Field(default=None, ge=0, le=60)
    """Gain in dB, for USB3 and ace 2 cameras. A larger gain gives brighter images with more noise."""
    gain_raw: int | None = Field(default=None, ge=0, le=100_000)
    """Gain in the camera's own steps, for ace GigE cameras. A larger gain gives brighter images with more noise."""
    region: SensorRegion | None = None
    """The part of the sensor that is read out. Without it, the camera keeps its own setting."""
    trigger: Trigger = Field(discriminator="source")
    """What triggers each image, chosen by `source`."""
    packet_size_bytes: int | None = Field(default=None, ge=220, le=16404)
    """Size of one network packet in bytes, for GigE cameras. It must not exceed the MTU of the network. Larger packets cost
    less CPU time."""
    inter_packet_delay_ticks: int | None = Field(default=None, ge=0, le=1_000_000_000)
    """Pause between two network packets in ticks of the camera, for GigE cameras. Set it where several cameras share one
    network port."""

    @model_validator(mode="after")
    def _one_name_is_enough(self) -> "PylonSettings":
        if self.serial is not None and self.user_id is not None:
            raise ValueError("give serial or user_id, not both")
        if self.gain_db is not None and self.gain_raw is not None:
            raise ValueError("give gain_db or gain_raw, not both")
        return self

    @property
    def delay_us(self) -> float:
        """Time from the trigger to the exposure."""
        return self.trigger.delay_us if isinstance(self.trigger, LineTrigger) else 0.0

    def known_exposure_ms(self) -> float:
        return ((self.exposure_us or 0.0) + self.delay_us) / 1000

    def known_period_ms(self) -> float | None:
        rate_hz = None if isinstance(self.trigger, LineTrigger) else self.trigger.rate_hz
        return None if rate_hz is None else 1000 / rate_hz

    def known_size(self) -> tuple[int, int] | None:
        if self.region is None or self.emulated is not None:  # the emulator shows files in their own size
            return None
        return self.region.width_px, self.region.height_px


def check_age(settings: PylonSettings, nodes: Nodes) -> None:
    """Raises CameraError if the camera's real exposure is so long that every image is too old to be judged."""
    exposure_us, delay_us = longest_exposure_us(nodes), settings.delay_us
    if exposure_us + delay_us >= settings.max_age_ms * 1000:
        delay = f" and waits {delay_us:g} us after the trigger" if delay_us else ""
        raise CameraError(
            f"the camera exposes for {exposure_us:g} us{delay}, but camera.max_age_ms is {settings.max_age_ms:g} "
            f"({settings.max_age_ms * 1000:g} us): every image would be too old to be judged; lower camera.exposure_us "
            "or raise camera.max_age_ms"
        )


def longest_exposure_us(nodes: Nodes) -> float:
    """Upper limit of an automatic exposure, or the fixed exposure; 0 if the camera does not report it."""
    limit_us = nodes.get("longest_exposure_us") if _has_automatic_exposure(nodes) else None
    return float(limit_us or nodes.get("exposure_us") or 0)


def shortest_period_ns(nodes: Nodes) -> float:
    """Shortest time between two images; 0 if it is unknown or may change with an automatic exposure."""
    rate_hz = nodes.get("resulting_rate_hz")
    return 0 if rate_hz is None or _has_automatic_exposure(nodes) else 1e9 / rate_hz


def _has_automatic_exposure(nodes: Nodes) -> bool:
    return nodes.get("ExposureAuto") not in (None, "Off")


def apply(settings: PylonSettings, nodes: Nodes) -> None:
    """Apply the settings after the feature file, and read each value back.

    Raises CameraError naming a setting that the camera does not have, or a value that it rejects.
    """
    if settings.pixel_format is not None:
        nodes.set("PixelFormat", settings.pixel_format)
    if settings.region is not None:
        _set_region(nodes, settings.region)
    if settings.exposure_us is not None:
        nodes.offer("ExposureAuto", "Off")
        nodes.offer("ExposureMode", "Timed")
    if settings.gain_db is not None or settings.gain_raw is not None:
        nodes.offer("GainAuto", "Off")
    for setting in ("exposure_us", "gain_db", "gain_raw", "packet_size_bytes", "inter_packet_delay_ticks"):
        value = getattr(settings, setting)
        if value is not None:
            nodes.set(setting, value)
    _set_trigger(nodes, settings.trigger)


def _set_region(nodes: Nodes, region: SensorRegion) -> None:
    nodes.set("OffsetX", 0)
    nodes.set("OffsetY", 0)
    nodes.set("Width", region.width_px)
    nodes.set("Height", region.height_px)
    nodes.set("OffsetX", region.offset_x_px)
    nodes.set("OffsetY", region.offset_y_px)


def _set_trigger(nodes: Nodes, trigger: Trigger) -> None:
    """All but TriggerMode for a line trigger: that is switched on after the test image. At the start, every trigger is off."""
    nodes.set("TriggerSelector", "FrameStart")
    if isinstance(trigger, FreeRun):
        if trigger.rate_hz is not None:
            nodes.offer("AcquisitionFrameRateEnable", True)
            nodes.set("rate_hz", trigger.rate_hz)
            _check_rate(nodes, trigger.rate_hz)
        return
    nodes.raise_to_maximum("rate_hz")  # for cameras whose limit can't be switched off
    nodes.offer("AcquisitionFrameRateEnable", False)
    if isinstance(trigger, SoftwareTrigger):
        _check_rate(nodes, trigger.rate_hz)
        nodes.set("TriggerSource", "Software")
        nodes.offer("delay_us", 0.0)
        nodes.set("TriggerMode", "On")
        return
    nodes.set("TriggerSource", trigger.line)
    nodes.set("TriggerActivation", "RisingEdge" if trigger.activation == "rising" else "FallingEdge")
    nodes.set("delay_us", trigger.delay_us)
    nodes.set("LineSelector", trigger.line)
    nodes.demand("LineMode", "Input", "no light barrier can trigger it")
    if trigger.debounce_us is not None:
        nodes.set("debounce_us", trigger.debounce_us)


def _check_rate(nodes: Nodes, wanted_hz: float) -> None:
    allowed_hz = nodes.get("resulting_rate_hz")
    if allowed_hz is not None and allowed_hz < 0.99 * wanted_hz:
        raise CameraError(
            f"camera.trigger.rate_hz: {wanted_hz:g} is not allowed: exposure, region and bandwidth allow up to {allowed_hz:.1f}"
        )
