"""The contract of an output: the three signals that a plant sees. Drivers: `simulated`, `modbus`, `camera`, `gpio`.

An output is written again and again and read back: neither what was written once nor an answer is taken as proof.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from inspectd.errors import OutputError

SAFE_WITHIN_S = 10.0
"""How long a gate that ends tries to make its output safe before it says that it could not."""
_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class Signals:
    """Logical levels; the driver applies its active level. All False is the safe state in both wirings."""

    actuator: bool = False
    """`pulse_to_reject`: the rejector is driven. `pulse_to_release`: the good path is open."""
    run_permit: bool = False
    heartbeat: bool = False
    """Toggles while gate and line are alive."""


SAFE = Signals()


class Output(Protocol):
    def open(self) -> None:
        """Take the device and write SAFE. Raises OutputError."""

    def write(self, signals: Signals) -> None:
        """Drive the signals that differ from the last write. Drive all of them if none differs, or after an error.

        Bounded in time (`timeout_ms` where there is a bus). Raises OutputError if the device does not acknowledge.
        The next write after an error tries to reach the device again.
        """

    def actuator(self) -> bool:
        """The actuator's level as the device has it now. Raises OutputError."""

    def run_permit(self) -> bool | None:
        """Run permit's level as the device has it now; None where it is not wired. Raises OutputError."""

    def confirmed(self) -> bool:
        """Level of the reject confirmation input. Only called where `confirmation` is configured. Raises OutputError."""

    def close(self) -> None:
        """Release the device as it is. Never raises; may be called twice."""

    def warnings(self) -> list[str]:
        """What `inspectd check` should say about an open output, such as signals that are not wired. Raises OutputError."""

    def problems(self) -> list[str]:
        """What `inspectd check` must refuse in an open output, such as a device's watchdog that is off. Raises OutputError."""


@runtime_checkable
class HasUserOutput(Protocol):
    """A camera that has an output line. The gate's thread calls it while the camera grabs."""

    def set_user_output(self, line: str, level: bool) -> None:
        """Drive the line and read it back. Raises CameraError."""

    def user_output(self, line: str) -> bool:
        """The line's level as the camera has it now. Raises CameraError."""


def refuse_shared(channels: Mapping[str, int | str | None]) -> None:
    """Check that no two signals have the same channel: a reject would then switch run permit too.

    `channels`: per key of `gate.output` its channel, all of one kind (coils, registers, lines); None if it is not wired.
    Raises ValueError.
    """
    owners: dict[str, str] = {}
    for key, channel in channels.items():
        if channel is None:
            continue
        owner = owners.setdefault(str(channel), key)
        if owner != key:
            raise ValueError(
                f"gate.output.{key} ({channel}): must differ from gate.output.{owner} ({channel}): "
                "one signal would switch the other"
            )


def make_safe(output: Output, within_s: float, *, is_open: bool = True) -> None:
    """Write SAFE, read it back, and try again until both have worked, from a new connection each time.

    Raises OutputError if that takes longer than `within_s`: run permit or the actuator may still be on.
    """
    end_s = time.monotonic() + within_s
    while True:
        try:
            if not is_open:
                output.open()
            output.write(SAFE)
            if output.actuator() or output.run_permit():
                raise OutputError("the safe state was written, but does not read back")
            return
        except Exception as error:  # any error: the plant must not be left as it is
            output.close()
            is_open = False
            if time.monotonic() >= end_s:
                raise OutputError(
                    f"the safe state could not be written within {within_s:g} s: {error}; run permit may still be on"
                ) from error
        time.sleep(_RETRY_S)
