"""The camera contract: open, grab, close. Drivers are `pylon`, `replay` and `opencv`.

A driver delivers one `Frame` per call, in the order of the triggers. A bad or missing image of a known trigger is a
`Frame` with `missed` set, not an exception. The driver raises `CameraError` when the device is not available or rejects a
setting, and for every exception of its SDK. `grab` and `close` return within a limited time, whatever the hardware does.
One thread at a time uses a driver, except where the driver says otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pydantic import Field

from inspectd.errors import CameraError, InspectdError
from inspectd.part import Frame
from inspectd.section import Section

CLOSE_S = 3.0
"""`close` returns within this time. It leaves a thread that hangs behind."""


class EndOfImages(Exception):
    """A finite source has no more images. This is not an error: the line finishes its parts and stops."""


class CameraSection(Section):
    """Settings of every kind of camera."""

    max_age_ms: float = Field(default=150, gt=0, le=60_000)
    """Age limit of an image in ms, counted from its trigger. An older image is not judged: its label is rejected as
    `stale_frame`. Must not exceed gate.delay_ms. With a software trigger it is also the time to wait for the image, after
    which the label is a `lost_frame`."""
    expect_every_s: float | None = Field(default=None, ge=1, le=86_400)
    """Time in s without a label after which the trigger counts as broken: a dirty light barrier, for example, or a loose
    cable. Then run permit drops, the report shows an outage `camera`, and the camera is opened again. Run permit stays off
    until a trigger gives an image (hold a label in front of the light barrier) or somebody runs `inspectd control
    acknowledge`. Set it longer than the longest pause of the running belt. Without it, labels pass unseen while the trigger
    is broken."""

    def repeats_after(self) -> int | None:
        """Number of images after which the same ones come again, for a camera that plays files; None: never."""
        return None

    def known_exposure_ms(self) -> float:
        """Shortest time from a trigger to its image that the config implies."""
        return 0.0

    def known_period_ms(self) -> float | None:
        """Time from one label to the next; None if the config does not say."""
        return None

    def known_size(self) -> tuple[int, int] | None:
        """Width and height of the images in px; None if the config does not say."""
        return None


class Camera(Protocol):
    def open(self) -> None:
        """Connect, apply every setting and read it back, check that the camera delivers an image, then start.

        A camera with a hardware trigger takes the test image without a trigger. Frame numbers start at 0 again.
        Raises CameraError: camera not found; a setting rejected or read back with another value (names setting, value and
        what is allowed); an exposure so long that every image would be too old. Raises InUseError: another process uses the
        camera.
        """

    def grab(self, timeout_ms: float) -> Frame | None:
        """The next frame, or None if nothing was triggered within `timeout_ms`.

        With a software trigger, the driver triggers by its own clock (`trigger.rate_hz`) and takes `t_trigger_ns` before it
        triggers. A trigger without an answer is a `lost_frame`. The caller owns the image: no later grab changes it. Where
        all images of a camera have one size, an image of another size is a `bad_frame`.
        Raises CameraError if the device is not available, EndOfImages if a finite source has no more images.
        """

    def close(self) -> None:
        """Release the device within CLOSE_S. Safe to call twice and after an error."""


@contextmanager
def camera_errors(name: str) -> Iterator[None]:
    """Turn every exception of an SDK into a CameraError of the camera `name`. Opening the camera again may help."""
    try:
        yield
    except (InspectdError, EndOfImages):
        raise
    except Exception as error:
        raise CameraError(f"{name}: {type(error).__name__}: {error}") from error
