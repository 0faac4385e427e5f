"""Settings of the gate: wiring, times, stops and the output."""

from typing import Annotated, Literal

from pydantic import Field

from inspectd.gate.camera_output import CameraOutputConfig
from inspectd.gate.gpio import GpioConfig
from inspectd.gate.modbus import ModbusConfig
from inspectd.gate.simulated import SimulatedConfig
from inspectd.section import Section

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
    """Length of one pulse; overlapping pulses merge."""
    max_lateness_ms: float | None = Field(default=None, gt=0, le=10_000)
    """A pulse that begins later than this after its label's due time has missed it; default: width_ms. A reject is then
    recorded as not driven and stops the belt until a reload (SIGHUP); a release is left out."""
    stall_ms: float = Field(default=250, ge=50, le=5000)
    """No heartbeat from the line for this long: run permit off, everything in flight rejected."""
    refresh_ms: float = Field(default=100, ge=10, le=1000)
    """All outputs are written at least this often."""
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
