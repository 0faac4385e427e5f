"""What line and gate tell each other: fixed-size messages over a SOCK_SEQPACKET pair.

Line to gate: EXPECT (a part exists, reject it at `due_ns`), CLEAR (it passed and is recorded), PERMIT (the
line is alive; `ok` = it sees every trigger now, so the belt may run), RESET (an operator cleared latched stops),
STOP (finish what is in flight, then leave the output safe and exit).
Gate to line: OUTCOME (what was done with a part), ALIVE (answer to each PERMIT, with the gate's health).
The end of the socket means the other side is dead.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

_FORMAT = struct.Struct("<BBqqq")
SIZE = _FORMAT.size


class Kind(IntEnum):
    EXPECT = 1
    CLEAR = 2
    PERMIT = 3
    RESET = 4
    STOP = 5
    OUTCOME = 6
    ALIVE = 7


class Outcome(IntEnum):
    """What the gate did with a part at its due time."""

    PASSED = 0
    REJECTED = 1
    REJECTED_LATE = 2  # a CLEAR came, but after the reject had been fired
    REJECTED_STOPPED = 3  # it had been cleared, but run permit or the time to let it through was gone
    NOT_DRIVEN = 4  # it had to be rejected, and it is not known that it was: somebody must look for it
    REJECTED_WITH_OTHER = 5  # it had been cleared, but the reject pulse of the label before it was on, or may have been


class GateState(IntEnum):
    """Why run permit is on (RUNNING) or off (all others)."""

    RUNNING = 0
    LINE_NOT_OK = 1  # the line says it does not see every trigger
    LINE_STALLED = 2  # no PERMIT message for `stall_ms`
    LINE_GONE = 3  # end of file on the socket
    OUTPUT_FAILED = 4  # the output can't be driven or does not read back
    REJECT_UNCONFIRMED = 5  # commanded, not confirmed; latched until RESET
    TOO_MANY_REJECTS = 6  # latched until RESET
    STARTING = 7  # no PERMIT message yet
    REJECT_NOT_DRIVEN = 8  # a reject was too late, not verified, or met an open path; latched until RESET
    TOO_MANY_PARTS = 9  # more in flight than can be scheduled; until the last of them has gone by, then latched


@dataclass(frozen=True, slots=True)
class Message:
    """kind; code: `ok` of PERMIT, Outcome of OUTCOME, GateState of ALIVE; part id (0: none);
    t_ns: due of EXPECT, time of sending of PERMIT and ALIVE, time the pulse really began of OUTCOME (0: no pulse);
    lateness_ns: of OUTCOME, begin of the pulse minus due."""

    kind: Kind
    code: int = 0
    part: int = 0
    t_ns: int = 0
    lateness_ns: int = 0

    def pack(self) -> bytes:
        return _FORMAT.pack(self.kind, self.code, self.part, self.t_ns, self.lateness_ns)

    @classmethod
    def unpack(cls, data: bytes) -> "Message":
        """Raises ValueError if `data` is not a message."""
        if len(data) != SIZE:
            raise ValueError(f"a gate message has {SIZE} bytes, got {len(data)}")
        kind, code, part, t_ns, lateness_ns = _FORMAT.unpack(data)
        return cls(Kind(kind), code, part, t_ns, lateness_ns)
