"""Settings of the gate: wiring, times, stops and the output."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from inspectd.gate.outputs.base import SAFE_WITHIN_S
from inspectd.gate.outputs.camera import CameraOutputConfig
from inspectd.gate.outputs.gpio import GpioConfig
from inspectd.gate.outputs.modbus import ModbusConfig
from inspectd.gate.outputs.simulated import SimulatedConfig
from inspectd.section import Section

CAPACITY = 4096
"""Parts in flight; one more could not be scheduled."""

OutputConfig = Annotated[SimulatedConfig | ModbusConfig | GpioConfig | CameraOutputConfig, Field(discriminator="kind")]


class RejectShare(Section):
    percent: float = Field(gt=0, lt=100)
    of_last: int = Field(ge=10, le=10_000)


class ConfirmationConfig(Section):
    """The plant's answer that a reject really happened; the output names the input."""

    within_ms: float = Field(gt=0, le=10_000)
    """From the begin of the pulse."""


class GateConfig(Section):
    """When and how a label is thrown out."""

    wiring: Literal["pulse_to_reject", "pulse_to_release"]
    """pulse_to_reject: the rejector rests open, run permit stops the belt on a fault.
    pulse_to_release: the good path opens for each passed part and rests closed; safe even with the cable cut."""
    delay_ms: float = Field(gt=0, le=60_000)
    """From the trigger until the label is at the rejector: the deadline of every inspection."""
    width_ms: float = Field(gt=0, le=10_000)
    """Length of one pulse, from when the output has acknowledged it; overlapping pulses merge. It must be shorter than
    `pitch_ms` (pulse_to_reject), or by `close_before_ms` shorter (pulse_to_release). A pulse counts once the actuator
    has been read back as on after half of its width."""
    pitch_ms: float | None = Field(default=None, gt=0, le=3_600_000)
    """The shortest time between two labels. Default: known where the camera runs at a set rate; where a light barrier
    triggers it, give it here, so that a `width_ms` or `delay_ms` that can't work is refused at start."""
    close_before_ms: float = Field(default=5, ge=0.5, le=1000)
    """pulse_to_release: the path is closed this long before a label that must not pass is due. Time for the output to
    acknowledge and be read back, and for the flap to move."""
    max_lateness_ms: float | None = Field(default=None, gt=0, le=10_000)
    """A pulse that begins later than this after its label's due time has missed it; default: half of width_ms, so that
    at least half of the pulse meets its label. A reject is then recorded as not driven and stops the belt until a reload
    (SIGHUP); a release is left out."""
    stall_ms: float = Field(default=250, ge=50, le=5000)
    """No permit message from the line for this long: run permit off, everything in flight rejected. A gate that does not
    answer the line for this long, beside what it may wait for its output, is killed, and the line writes the safe state
    in its place."""
    refresh_ms: float = Field(default=100, ge=10, le=1000)
    """All outputs are read back and written at least this often."""
    heartbeat_ms: float = Field(default=500, ge=50, le=5000)
    """Half period of the signal that tells the plant we are alive."""
    realtime_priority: int = Field(default=50, ge=0, le=99)
    """SCHED_FIFO priority of the gate's process; 0: ordinary scheduling."""
    stop_after_rejects: int = Field(default=0, ge=0, le=10_000)
    """So many rejects in a row stop the belt until a reload (SIGHUP); 0: never."""
    stop_at_reject_share: RejectShare | None = None
    """More rejects than this stop the belt until a reload (SIGHUP)."""
    confirmation: ConfirmationConfig | None = None
    """Commanded but not confirmed stops the belt until a reload (SIGHUP)."""
    output: OutputConfig

    @model_validator(mode="after")
    def _is_possible(self) -> "GateConfig":
        if self.confirmation is not None and (missing := self.output.missing_confirmation) is not None:
            raise ValueError(f"gate.confirmation needs an input that the plant sets: {missing}")
        if self.pitch_ms is not None:
            self.fits(self.pitch_ms)
        return self

    @property
    def allowed_lateness_ms(self) -> float:
        return self.width_ms / 2 if self.max_lateness_ms is None else self.max_lateness_ms

    @property
    def hung_after_ms(self) -> float:
        """A gate that has not answered the line for so long hangs."""
        return self.stall_ms + self.output.longest_wait_ms

    @property
    def ends_within_s(self) -> float:
        """How long a gate whose line has ended may take: what is in flight, and the safe state."""
        return (self.delay_ms + self.width_ms) / 1000 + SAFE_WITHIN_S

    def fits(self, pitch_ms: float) -> None:
        """Check that these pulses can act on single labels that follow each other by `pitch_ms`.

        Raises ValueError.
        """
        if self.wiring == "pulse_to_reject" and self.width_ms >= pitch_ms:
            raise ValueError(
                f"gate.width_ms ({self.width_ms:g}) must be shorter than the pitch of the labels ({pitch_ms:g} ms): "
                "the pulse for a faulty label would take the good one behind it"
            )
        if self.wiring == "pulse_to_release" and self.width_ms + self.close_before_ms > pitch_ms:
            raise ValueError(
                f"gate.width_ms ({self.width_ms:g}) and gate.close_before_ms ({self.close_before_ms:g}) together must not "
                f"exceed the pitch of the labels ({pitch_ms:g} ms): the path would be open for the label behind"
            )
        if self.delay_ms / pitch_ms > CAPACITY:
            raise ValueError(
                f"gate.delay_ms ({self.delay_ms:g}) at a pitch of {pitch_ms:g} ms means {self.delay_ms / pitch_ms:.0f} "
                f"labels in flight; {CAPACITY} are allowed"
            )
