"""What the gate says: what it did with a label, and why run permit is on or off."""

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """What the gate did with a label at its due time."""

    PASSED = 0  # cleared and let through
    REJECTED = 1  # not cleared, and rejected in time
    REJECTED_LATE = 2  # cleared, but only after its reject had begun
    REJECTED_STOPPED = 3  # cleared, but run permit was off, or there was no time left to let it through
    NOT_DRIVEN = 4  # it had to be rejected, and nobody knows whether it was: somebody must look for it
    REJECTED_WITH_OTHER = 5  # cleared, but the reject pulse for the label before it was on, or may have been on

    @property
    def lets_through(self) -> bool:
        """The label went on along the line as a good one."""
        return self is Outcome.PASSED


class GateState(IntEnum):
    """Why run permit is on (RUNNING) or off (all others)."""

    RUNNING = 0
    LINE_NOT_OK = 1  # the line says that it does not see every trigger
    LINE_STALLED = 2  # no permit message for `gate.stall_ms`
    LINE_GONE = 3  # the line has closed its end of the channel
    OUTPUT_FAILED = 4  # the output can't be driven, or does not read back what was written
    REJECT_UNCONFIRMED = 5  # a reject was commanded and not confirmed; latched until a reset
    TOO_MANY_REJECTS = 6  # latched until a reset
    STARTING = 7  # no permit message has come yet
    REJECT_NOT_DRIVEN = 8  # a reject was too late, not verified, or met an open path; latched until a reset
    TOO_MANY_PARTS = 9  # more parts in flight than can be scheduled; until the last of them has gone by, then latched

    @property
    def is_latched(self) -> bool:
        """It lasts until somebody has looked and acknowledges it."""
        return self in (GateState.REJECT_UNCONFIRMED, GateState.TOO_MANY_REJECTS, GateState.REJECT_NOT_DRIVEN)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one label."""

    part: int
    outcome: Outcome
    began_ns: int = 0
    """When its pulse really began; 0 if there was no pulse."""
    lateness_ns: int = 0
    """From the due time to the begin of the pulse."""
