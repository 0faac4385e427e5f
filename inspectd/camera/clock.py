"""Clocks of cameras: a steady trigger, and the camera's own time mapped to ours."""

import time

_DRIFT = 200e-6
"""Largest drift between two cheap crystals of 100 ppm each."""


class TriggerClock:
    """A steady rate without drift. The first slot is now. A slot that is late by a whole period is skipped."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(1e9 / rate_hz)
        self._slot_ns = time.monotonic_ns()

    def wait(self, timeout_ms: float) -> bool:
        """Sleep until the next slot. If it is further away than `timeout_ms`, sleep for `timeout_ms` and return False."""
        now_ns = time.monotonic_ns()
        self._slot_ns = upcoming_slot(self._slot_ns, self._period_ns, now_ns)
        left_ns = self._slot_ns - now_ns
        if left_ns > timeout_ms * 1e6:
            time.sleep(timeout_ms / 1e3)
            return False
        time.sleep(max(0, left_ns) / 1e9)
        self._slot_ns += self._period_ns
        return True


def upcoming_slot(slot_ns: int, period_ns: int, now_ns: int) -> int:
    """`slot_ns` if it is late by less than a period, otherwise the next slot of its grid that is not in the past."""
    late_ns = now_ns - slot_ns
    if late_ns < period_ns:
        return slot_ns
    return slot_ns + -(-late_ns // period_ns) * period_ns


class CameraClock:
    """Host time of camera timestamps by a minimum filter.

    Arrival minus timestamp is the offset of the two clocks plus the delay of that frame. A delay is never shorter than
    readout and transfer, so the smallest difference seen is the best estimate of the offset. The estimate may rise by
    200 ppm, because crystals drift. The smallest delay stays in the result as a constant, except `latency_ns`, the part of
    the delay that is known (exposure, trigger delay).
    """

    def __init__(self, tick_hz: int, latency_ns: int = 0) -> None:
        self._tick_hz = tick_hz
        self._latency_ns = latency_ns
        self._offset_ns = 0
        self._last_ticks: int | None = None
        self._last_arrival_ns = 0

    def to_host_ns(self, ticks: int, arrival_ns: int) -> int:
        """When the frame was triggered, in host monotonic ns; never later than `arrival_ns` - latency.

        `ticks` 0: the camera has no clock. After a clock that went back, the filter starts again.
        """
        if ticks == 0:
            return arrival_ns - self._latency_ns
        camera_ns = ticks * 1_000_000_000 // self._tick_hz
        offset_ns = arrival_ns - self._latency_ns - camera_ns
        if self._last_ticks is not None and ticks >= self._last_ticks:
            risen_ns = self._offset_ns + round(_DRIFT * (arrival_ns - self._last_arrival_ns))
            offset_ns = min(offset_ns, risen_ns)
        self._offset_ns, self._last_ticks, self._last_arrival_ns = offset_ns, ticks, arrival_ns
        return camera_ns + offset_ns
