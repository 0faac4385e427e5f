"""What the gate says: what it did with a label, and why run permit is on or off."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import reduce
from operator import or_


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
    STOPPED = 5  # a latched stop holds: somebody must look
    STARTING = 6  # no permit message has come yet
    TOO_MANY_PARTS = 7  # more parts in flight than can be scheduled, until the last of them has gone by


class Stop(IntFlag):
    """Latched stops: each holds until somebody has looked and acknowledges it, whatever else holds."""

    REJECT_UNCONFIRMED = 1  # a reject was commanded and not confirmed
    TOO_MANY_REJECTS = 2
    REJECT_NOT_DRIVEN = 4  # a reject was too late, not verified, or met an open path
    TOO_MANY_PARTS = 8  # more parts were in flight than can be scheduled

    @property
    def words(self) -> tuple[str, ...]:
        """Their names, as journal and control socket have them."""
        return tuple(str(stop.name).lower() for stop in self)

    @classmethod
    def named(cls, words: Iterable[str]) -> "Stop":
        """Raises KeyError if a word names no stop."""
        return reduce(or_, (cls[word.upper()] for word in words), cls(0))


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one label."""

    part: int
    outcome: Outcome
    began_ns: int = 0
    """When its pulse really began; 0 if there was no pulse."""
    lateness_ns: int = 0
    """From the due time to the begin of the pulse."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The gate's answer to a permit message."""

    state: GateState
    stops: Stop
    """All that hold, whatever the state is."""
