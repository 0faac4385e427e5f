"""Whether somebody has set the wall clock: it is compared with the monotonic clock, which nobody can set."""

import time
from dataclasses import dataclass

_TOLERANCE_NS = 100_000_000
"""Less is not a step: time synchronisation slows or speeds the clock by at most 0.5 ms in a second."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """At `t_mono_ns` the wall clock, which would have shown `t_from_utc_ns`, showed `t_to_utc_ns`."""

    t_mono_ns: int
    t_from_utc_ns: int
    t_to_utc_ns: int

    @property
    def seconds(self) -> float:
        return (self.t_to_utc_ns - self.t_from_utc_ns) / 1e9


class WallClock:
    """Remembers how far the wall clock was ahead of the monotonic clock when it was last asked."""

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
    """ns by which the wall clock is ahead, and how much of that may come from this thread having waited meanwhile."""
    t_before_ns = time.monotonic_ns()
    utc_ns = time.time_ns()
    t_after_ns = time.monotonic_ns()
    return utc_ns - t_after_ns, t_after_ns - t_before_ns
