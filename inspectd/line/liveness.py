"""Whether a stage is alive: when it last made progress."""

import time


class Progress:
    """One thread calls `tick`, another `age_ms`. No lock is needed: a new int replaces the old one at once."""

    def __init__(self) -> None:
        self._last_ns = time.monotonic_ns()

    def tick(self) -> None:
        self._last_ns = time.monotonic_ns()

    def age_ms(self) -> float:
        return (time.monotonic_ns() - self._last_ns) / 1e6
