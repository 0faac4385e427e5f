"""Proof of life of one stage: when it last got something done."""

import time

from pydantic import Field

from inspectd.section import Section


class WatchdogConfig(Section):
    """When a stage counts as stalled. systemd's own WatchdogSec stands in the unit."""

    stall_ms: float = Field(default=1000, ge=100, le=10_000)
    """A stage (acquire, inspect, gate) without progress for this long costs run permit and systemd's watchdog its food."""
    exit_after_s: float = Field(default=30, ge=5, le=600)
    """A stage stalled for this long ends the process with code 75, for those who run it without systemd."""


class Progress:
    """One thread ticks, another looks. An int is replaced, never changed, so no lock is needed."""

    def __init__(self) -> None:
        self._last_ns = time.monotonic_ns()

    def tick(self) -> None:
        self._last_ns = time.monotonic_ns()

    def age_ms(self) -> float:
        return (time.monotonic_ns() - self._last_ns) / 1e6
