"""Settings of the gate: wiring, times, stops and output."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from inspectd.gate.outputs.base import SAFE_WITHIN_S
from inspectd.gate.outputs.camera import CameraOutputConfig
from inspectd.gate.outputs.gpio import GpioConfig
from inspectd.gate.outputs.modbus import ModbusConfig
from inspectd.gate.outputs.simulated import SimulatedConfig
from inspectd.section import Section

CAPACITY = 4096
"""At most so many parts are in flight; one more can't be scheduled."""

OutputConfig = Annotated[SimulatedConfig | ModbusConfig | GpioConfig | CameraOutputConfig, Field(discriminator="kind")]


class RejectShare(Section):
    """How many rejects among the last labels are too many."""

    percent: float = Field(gt=0, lt=100)
    """The belt stops when more than this share of the last `of_last` labels, in percent, was rejected."""
    of_last: int = Field(ge=10, le=10_000)
    """The number of labels over which the share is counted; nothing stops before so many have come. Larger: short series
    of faults are tolerated, and a lasting fault is noticed later."""


class ConfirmationConfig(Section):
    """The plant's signal that a reject really happened. The section `output` names its input."""

    within_ms: float = Field(gt=0, le=10_000)
    """Longest time from the start of the pulse to the signal, in milliseconds. If no signal comes, the belt stops."""


class GateConfig(Section):
    """When and how a label is rejected."""

    wiring: Literal["pulse_to_reject", "pulse_to_release"]
    """`pulse_to_reject`: a pulse throws a label out, and without a pulse it passes. On a fault, run permit stops the belt.
    `pulse_to_release`: a pulse opens the good path for one label, and without a pulse it is rejected. This is safe even
    when the cable is cut."""
    delay_ms: float = Field(gt=0, le=60_000)
    """The time in milliseconds from the trigger until the label is at the rejector. A verdict that comes later is too late,
    and the label is rejected. Measure it on the machine: a wrong value rejects the wrong label."""
    width_ms: float = Field(gt=0, le=10_000)
    """The length of one pulse in milliseconds, from the moment when the output has acknowledged it. Overlapping pulses
    become one. It must be shorter than `pitch_ms` (pulse_to_reject), or shorter by `close_before_ms` (pulse_to_release).
    A pulse counts once the actuator reads back as on after half of this time. Larger: the rejector hits its label more
    surely, but may hit the next one too."""
    pitch_ms: float | None = Field(default=None, gt=0, le=3_600_000)
    """The shortest time in milliseconds between two labels. Where the camera runs at a set rate it is known without this
    key. Where a light barrier triggers the camera, give it here: a `width_ms` or `delay_ms` that can't work is then
    refused at start."""
    close_before_ms: float = Field(default=5, ge=0.5, le=1000)
    """Only for pulse_to_release: how long before a bad label arrives the path must be closed, in milliseconds. In
    this time the output acknowledges and is read back, and the flap moves. Too small: the path is not proven closed in
    time, and the label counts as not driven."""
    max_lateness_ms: float | None = Field(default=None, gt=0, le=10_000)
    """A pulse that begins more than this many milliseconds after its label's due time has missed the label. A reject is
    then recorded as `not_driven` and stops the belt until somebody acknowledges it; a release is left out. Default: half of
    `width_ms`, so that at least half of the pulse meets its label. Larger: fewer stops, but a pulse may miss its label
    unnoticed."""
    stall_ms: float = Field(default=250, ge=50, le=5000)
    """If the line sends no permit message for this many milliseconds, run permit drops and everything in flight is
    rejected. If the gate does not answer for this time (plus the wait for its output), the line kills it and switches the
    outputs off. Smaller: the belt stops sooner after a
    stall, but also at a short pause of a busy machine."""
    refresh_ms: float = Field(default=100, ge=10, le=1000)
    """All outputs are written and read back at least once in this many milliseconds. Smaller: a wrong output is noticed
    sooner, and a slow device is busier."""
    heartbeat_ms: float = Field(default=500, ge=50, le=5000)
    """The heartbeat, which shows the plant that line and gate are alive, changes its level every so many milliseconds. The
    plant must wait longer than this before it takes the line for dead."""
    realtime_priority: int = Field(default=50, ge=0, le=99)
    """The real-time priority (SCHED_FIFO) of the gate's process; 0 means ordinary scheduling. Without it, pulses may come
    10 to 30 ms late on a busy machine."""
    stop_after_rejects: int = Field(default=0, ge=0, le=10_000)
    """The belt stops after this many rejects in a row, until somebody acknowledges it; 0 means never. Good labels that are
    rejected only because of a latched stop do not count."""
    stop_at_reject_share: RejectShare | None = None
    """The belt stops when too many of the last labels were rejected, until somebody acknowledges it. Leave it out for never."""
    confirmation: ConfirmationConfig | None = None
    """A reject that the plant does not confirm stops the belt until somebody acknowledges it. Leave it out if the plant
    has no such signal."""
    output: OutputConfig
    """The device that drives the rejector. `kind` says which one."""

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
        """A gate that has not answered the line for this long hangs."""
        return self.stall_ms + self.output.longest_wait_ms

    @property
    def ends_within_s(self) -> float:
        """How long a gate may go on after its line has ended: until nothing is in flight, and the safe state is written."""
        return (self.delay_ms + self.width_ms) / 1000 + SAFE_WITHIN_S

    def fits(self, pitch_ms: float) -> None:
        """Check that a pulse can act on a single label if labels follow each other by `pitch_ms`.

        Raises ValueError.
        """
        if self.wiring == "pulse_to_reject" and self.width_ms >= pitch_ms:
            raise ValueError(
                f"gate.width_ms ({self.width_ms:g}) must be shorter than the pitch of the labels ({pitch_ms:g} ms): "
                "the pulse for a faulty label would also reject the good one behind it"
            )
        if self.wiring == "pulse_to_release" and self.width_ms + self.close_before_ms > pitch_ms:
            raise ValueError(
                f"gate.width_ms ({self.width_ms:g}) and gate.close_before_ms ({self.close_before_ms:g}) together must not "
                f"exceed the pitch of the labels ({pitch_ms:g} ms): the path would still be open for the label behind"
            )
        if self.delay_ms / pitch_ms > CAPACITY:
            raise ValueError(
                f"gate.delay_ms ({self.delay_ms:g}) at a pitch of {pitch_ms:g} ms means {self.delay_ms / pitch_ms:.0f} "
                f"labels in flight; {CAPACITY} are allowed"
            )
