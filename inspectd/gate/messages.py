"""What line and gate send each other: fixed-size messages over a SOCK_SEQPACKET pair. Only `link` and `loop` use them.

Line to gate: EXPECT (a part exists, reject it at `t_ns`), CLEAR (it passed and is recorded), PERMIT (the line is alive;
`code` 1: it sees every trigger, so the belt may run), LATCH (nobody has acknowledged these `stops` of the session before), RESET (an
operator has acknowledged these `stops`), STOP (finish what is in flight, then leave the output safe and exit).
Gate to line: OUTCOME (what was done with a part), ALIVE (the answer to each PERMIT, with the gate's state and the latched `stops`).
The end of the socket means that the other side is dead.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

_FORMAT = struct.Struct("<BBBqqq")
SIZE = _FORMAT.size


class Kind(IntEnum):
    EXPECT = 1
    CLEAR = 2
    PERMIT = 3
    LATCH = 4
    RESET = 5
    STOP = 6
    OUTCOME = 7
    ALIVE = 8


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Fields that a kind does not use are 0."""

    kind: Kind
    code: int = 0
    """PERMIT: 1 if the belt may run; OUTCOME: an `Outcome`; ALIVE: a `GateState`."""
    part: int = 0
    t_ns: int = 0
    """EXPECT: the due time; PERMIT: when it was sent; ALIVE: that of the PERMIT it answers; OUTCOME: when the pulse began."""
    lateness_ns: int = 0
    """OUTCOME: from the due time to the begin of the pulse."""
    stops: int = 0
    """ALIVE, LATCH and RESET: `Stop`s."""

    def pack(self) -> bytes:
        return _FORMAT.pack(self.kind, self.code, self.stops, self.part, self.t_ns, self.lateness_ns)

    @classmethod
    def unpack(cls, data: bytes) -> "Message":
        """Raises ValueError if `data` is not a message."""
        if len(data) != SIZE:
            raise ValueError(f"a gate message has {SIZE} bytes, got {len(data)}")
        kind, code, stops, part, t_ns, lateness_ns = _FORMAT.unpack(data)
        return cls(Kind(kind), code, part, t_ns, lateness_ns, stops)
