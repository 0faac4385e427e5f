"""The camera contract: open, grab, close. Drivers are `pylon`, `replay` and `opencv`.

A driver delivers `Shot`s in the order of their triggers, one per call. It never raises for a bad or missing
image of a known trigger (that is a `Shot` with `missed` set); it raises `CameraError` when the device itself
is gone or refuses a setting. `grab` and `close` return within a bounded time whatever the hardware does.
A driver is used from one thread only, except where it says otherwise.
"""

from typing import Protocol

from pydantic import Field

from inspectd.part import Shot
from inspectd.section import Section


class EndOfImages(Exception):
    """A finite source has no more images. No error: the line finishes what it has and stops."""


class CameraSection(Section):
    """What every kind of camera has."""

    max_age_ms: float = Field(default=150, gt=0, le=60_000)
    """An image older than this, from its trigger, is not judged (`stale_frame`)."""

    @property
    def rate_limit_hz(self) -> float | None:
        """The rate that the camera keeps by itself; None where something else triggers it."""
        return None


class Camera(Protocol):
    def open(self) -> None:
        """Connect, apply every setting and read it back, prove with one image that the camera delivers
        (hardware-triggered cameras: one untriggered image), then start acquisition. Frame numbers start anew.

        Raises CameraError: not found, a setting refused or read back differently (names setting, value, allowed).
        """

    def grab(self, timeout_ms: float) -> Shot | None:
        """The next shot, or None if nothing was triggered within `timeout_ms`.

        With a software trigger the driver fires it on its own clock (`trigger.rate_hz`) and stamps
        `t_trigger_ns` before firing; an unanswered trigger is a `lost_frame` shot. The image of a shot is the
        caller's: no later grab changes it.
        Raises CameraError if the device is gone, EndOfImages if a finite source has no more.
        """

    def close(self) -> None:
        """Release the device. Bounded in time, safe to call twice and after an error."""
