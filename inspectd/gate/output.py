"""The output contract: the three signals a plant sees. Drivers are `simulated`, `modbus`, `camera` and `gpio`.

`write` takes the whole state every time, so an output is refreshed, never set and forgotten: the gate writes at
each change and at least every `gate.refresh_ms`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


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
        """Drive all signals; bounded in time (`timeout_ms` where there is a bus).
        Raises OutputError if the device does not answer or does not read back what was written.
        The next write after an error tries to reach the device again."""

    def confirmed(self) -> bool:
        """Level of the reject confirmation input. Only called where `confirmation` is configured."""

    def close(self) -> None:
        """Write SAFE if possible and release the device. Never raises; safe to call twice."""

    def warnings(self) -> list[str]:
        """What `inspectd check` should tell about an open output, e.g. a bus coupler's watchdog that is off."""


@runtime_checkable
class HasUserOutput(Protocol):
    """A camera with an output line of its own. Called from the gate's thread while the camera grabs."""

    def set_user_output(self, line: str, level: bool) -> None:
        """Raises CameraError."""
