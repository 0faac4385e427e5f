"""Proof of life of one stage: when it last got something done."""

import time


class Progress:
    """One thread ticks, another looks. An int is replaced, never changed, so no lock is needed."""

    def __init__(self) -> None:
        self._last_ns = time.monotonic_ns()

    def tick(self) -> None:
        self._last_ns = time.monotonic_ns()

    def age_ms(self) -> float:
        return (time.monotonic_ns() - self._last_ns) / 1e6
