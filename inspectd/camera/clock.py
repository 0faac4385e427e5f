"""Clocks of cameras: a steady trigger, and the camera's own time mapped to ours."""

import time
from collections import deque


class TriggerClock:
    """A steady rate without drift. After a stall it goes on at the next slot and does not catch up in a burst."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(1e9 / rate_hz)
        self._next_ns = time.monotonic_ns()

    def wait(self, timeout_ms: float) -> bool:
        """Sleep until the next slot; False if it is further away than `timeout_ms`, which is then slept instead."""
        left_ns = self._next_ns - time.monotonic_ns()
        if left_ns > timeout_ms * 1e6:
            time.sleep(timeout_ms / 1e3)
            return False
        if left_ns > 0:
            time.sleep(left_ns / 1e9)
        self._next_ns = next_slot(self._next_ns, self._period_ns, time.monotonic_ns())
        return True


def next_slot(slot_ns: int, period_ns: int, now_ns: int) -> int:
    """The first slot after both `slot_ns` and `now_ns`, a whole number of periods from `slot_ns`."""
    return slot_ns + max(1, (now_ns - slot_ns) // period_ns + 1) * period_ns


class CameraTime:
    """Host time of camera timestamps: a frame can only arrive after it was taken, and the quickest of the last frames
    tells the offset of the two clocks best (minimum filter, as NTP's clock filter: RFC 5905, section 10)."""

    def __init__(self, window: int = 256) -> None:
        self._offsets = deque[int](maxlen=window)

    def to_host_ns(self, camera_ns: int, arrival_ns: int) -> int:
        """When the frame was taken, in host monotonic ns; never later than `arrival_ns`."""
        self._offsets.append(arrival_ns - camera_ns)
        return camera_ns + min(self._offsets)
