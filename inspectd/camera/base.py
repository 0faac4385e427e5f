"""The camera contract: open, grab, close. Drivers are `pylon`, `replay` and `opencv`.

A driver delivers `Frame`s in the order of their triggers, one per call. It never raises for a bad or missing
image of a known trigger (that is a `Frame` with `missed` set); it raises `CameraError` when the device itself
is gone or refuses a setting, and for whatever else its SDK raises. `grab` and `close` return within a bounded time whatever
the hardware does. A driver is used from one thread at a time, except where it says otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pydantic import Field

from inspectd.errors import CameraError, InspectdError
from inspectd.part import Frame
from inspectd.section import Section

CLOSE_S = 3.0
"""`close` returns within this time; what hangs is left behind."""


class EndOfImages(Exception):
    """A finite source has no more images. No error: the line finishes what it has and stops."""


class CameraSection(Section):
    """What every kind of camera has."""

    max_age_ms: float = Field(default=150, gt=0, le=60_000)
    """Age limit of an image in ms, counted from its trigger. An older image is not judged: its label is rejected as
    `stale_frame`. Must not exceed gate.delay_ms. With a software trigger it is also the time to wait for the image, after
    which the label is a `lost_frame`."""
    expect_every_s: float | None = Field(default=None, ge=1, le=86_400)
    """Time in s without a label after which the trigger counts as broken: a dirty light barrier, for example, or a loose
    cable. Then run permit drops, the report shows an outage `camera`, and the camera is opened again. Run permit stays off
    until a trigger gives an image (hold a label in front of the light barrier) or somebody runs `systemctl reload
    inspectd`. Set it longer than the longest pause of the running belt. Without it, labels pass unseen while the trigger
    is broken."""

    def repeats_after(self) -> int | None:
        """After how many images the same ones come again, because this camera plays files; None: never."""
        return None

    def known_exposure_ms(self) -> float:
        """No image comes sooner after its trigger, as far as the config says."""
        return 0.0

    def known_period_ms(self) -> float | None:
        """From one label to the next, if the config says so."""
        return None


class Camera(Protocol):
    def open(self) -> None:
        """Connect, apply every setting and read it back, prove with one image that the camera delivers
        (hardware-triggered cameras: one untriggered image), then start acquisition. Frame numbers start anew.

        Raises CameraError: not found, a setting refused or read back differently (names setting, value, allowed), an
        exposure so long that no image is young enough to be judged. Raises InUseError: another process has the camera.
        """

    def grab(self, timeout_ms: float) -> Frame | None:
        """The next frame, or None if nothing was triggered within `timeout_ms`.

        With a software trigger the driver fires it on its own clock (`trigger.rate_hz`) and stamps
        `t_trigger_ns` before firing; an unanswered trigger is a `lost_frame` frame. The image of a frame is the
        caller's: no later grab changes it. Where all images of a camera have one size, one of another size is a `bad_frame`.
        Raises CameraError if the device is gone, EndOfImages if a finite source has no more.
        """

    def close(self) -> None:
        """Release the device. Bounded in time, safe to call twice and after an error."""


@contextmanager
def camera_errors(name: str) -> Iterator[None]:
    """Whatever an SDK raises becomes a CameraError of the camera `name`, which opening it again may mend."""
    try:
        yield
    except (InspectdError, EndOfImages):
        raise
    except Exception as error:
        raise CameraError(f"{name}: {type(error).__name__}: {error}") from error
