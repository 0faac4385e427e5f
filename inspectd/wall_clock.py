"""Whether somebody has set the wall clock: it is compared with the monotonic clock, which nobody can set."""

import ctypes
import time
from dataclasses import dataclass

_TOLERANCE_NS = 100_000_000
"""A smaller difference is not a step: time synchronisation changes the clock by at most 0.5 ms per second."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """At `t_mono_ns` the wall clock showed `t_to_utc_ns`, where it should have shown `t_from_utc_ns`."""

    t_mono_ns: int
    t_from_utc_ns: int
    t_to_utc_ns: int

    @property
    def seconds(self) -> float:
        return (self.t_to_utc_ns - self.t_from_utc_ns) / 1e9


class WallClock:
    """Remembers by how much the wall clock was ahead of the monotonic clock at the last call of `step`."""

    def __init__(self) -> None:
        self._ahead_ns, _ = _ahead()

    def step(self) -> ClockStep | None:
        """The step since the last call, if there was one."""
        ahead_ns, uncertainty_ns = _ahead()
        before_ns, self._ahead_ns = self._ahead_ns, ahead_ns
        if abs(ahead_ns - before_ns) <= _TOLERANCE_NS + uncertainty_ns:
            if uncertainty_ns > _TOLERANCE_NS:
                self._ahead_ns = before_ns
            return None
        now_ns = time.monotonic_ns()
        return ClockStep(now_ns, now_ns + before_ns, now_ns + ahead_ns)


def _ahead() -> tuple[int, int]:
    """By how many ns the wall clock is ahead, and how many of them may come from a pause of this thread between the readings."""
    t_before_ns = time.monotonic_ns()
    utc_ns = time.time_ns()
    t_after_ns = time.monotonic_ns()
    return utc_ns - t_after_ns, t_after_ns - t_before_ns


def is_synchronised() -> bool:
    """Whether something synchronises the wall clock: the kernel says so, until the clock is set or nobody has corrected it for
    about 9 hours (adjtimex(2)). False as well if this process may not ask."""
    return _libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) in _CLOCK_STATES


_libc = ctypes.CDLL(None)
_TIMEX_BYTES = 512
"""More than `struct timex` has on any machine. Zeros ask, and change nothing."""
_CLOCK_STATES = range(5)
"""TIME_OK to TIME_WAIT. 5 is TIME_ERROR: not synchronised."""
