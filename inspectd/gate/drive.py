"""Schedule and output together: writes what the schedule wants, reads back what became of it, and tries again.

Any error of the output, expected or not, counts as a failed output: run permit drops, and the gate goes on.
"""

import time
from collections.abc import Callable

import structlog

from inspectd.errors import OutputError
from inspectd.gate.outputs.base import SAFE, Output, Signals
from inspectd.gate.schedule import Schedule

log = structlog.get_logger()

_CONFIRMATION_POLL_NS = 2_000_000
_QUIET_NS = 5_000_000
"""A refresh needs several answers of the device. It waits for a moment when nothing is due for this long, if one comes
between the two shares of `refresh_ms` below. At the end of that time it is done in any case."""
_EARLIEST_SHARE, _LATEST_SHARE = 0.7, 0.9
_GOOD_CHECKS = 2
"""After a failure, the safe state must read back this often, `refresh_ms` apart, before the output counts as working.
Until then, what was on its way to the device when the cable was cut may still arrive."""


class Drive:
    """Call `turn` again and again, each time at the latest after `wait_ns`."""

    def __init__(
        self, schedule: Schedule, output: Output, refresh_ms: float, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`output` is open, so the safe state is written."""
        self._schedule = schedule
        self._output = output
        self._clock_ns = clock_ns
        self._refresh_ns = round(refresh_ms * 1e6)
        self._written = SAFE
        self._refreshed_ns = clock_ns()
        self._refresh: list[Callable[[], None]] = []
        """The steps of the refresh that are left, the next one last. One step per turn: a slow device then delays a pulse by one
        step only."""
        self._good_checks = _GOOD_CHECKS

    def turn(self) -> None:
        """Do what is due now. Never raises."""
        now_ns = self._clock_ns()
        signals = self._schedule.step(now_ns)
        if self._has_failed:
            if now_ns - self._refreshed_ns >= self._refresh_ns:
                self._try_again(signals)
            return
        try:
            if signals != self._written:
                self._write(signals)
            self._read_back()
        except Exception as error:
            self._fail(error)

    def wait_ns(self) -> int:
        """How long there is nothing to do, if nothing happens."""
        now_ns = self._clock_ns()
        if self._refresh:
            return 0
        refresh_ns = self._refresh_ns if self._has_failed else self._refresh_after_ns(now_ns)
        wake_ns = min(self._schedule.next_wake_ns(now_ns), self._refreshed_ns + refresh_ns)
        if self._schedule.awaits_confirmation and not self._has_failed:
            wake_ns = min(wake_ns, now_ns + _CONFIRMATION_POLL_NS)
        return max(0, wake_ns - now_ns)

    @property
    def _has_failed(self) -> bool:
        return self._good_checks < _GOOD_CHECKS

    def _write(self, signals: Signals) -> None:
        self._output.write(signals)
        self._written = signals
        self._schedule.acknowledged(signals, self._clock_ns())

    def _read_back(self) -> None:
        now_ns = self._clock_ns()
        if self._schedule.wants_actuator_read(now_ns):
            self._read_actuator()
        if not self._refresh and now_ns >= self._refreshed_ns + self._refresh_after_ns(now_ns):
            self._refreshed_ns = now_ns
            self._refresh = [self._write_again, self._read_run_permit, self._read_actuator]
        if self._refresh:
            self._refresh.pop()()
        if self._schedule.awaits_confirmation and self._output.confirmed():
            self._schedule.confirmed()

    def _write_again(self) -> None:
        self._write(self._written)

    def _read_actuator(self) -> None:
        on = self._output.actuator()
        self._schedule.actuator_read(on, self._clock_ns())
        if on != self._written.actuator:
            raise OutputError(f"the actuator was set to {self._written.actuator}, but reads back {on}")

    def _read_run_permit(self) -> None:
        on = self._output.run_permit()
        if on is not None and on != self._written.run_permit:
            raise OutputError(f"run permit was set to {self._written.run_permit}, but reads back {on}")

    def _refresh_after_ns(self, now_ns: int) -> int:
        is_busy = self._schedule.next_wake_ns(now_ns) - now_ns < _QUIET_NS
        return round((_LATEST_SHARE if is_busy else _EARLIEST_SHARE) * self._refresh_ns)

    def _fail(self, error: Exception) -> None:
        was_working = not self._has_failed
        self._good_checks = 0
        self._refresh = []
        self._refreshed_ns = self._clock_ns()
        self._schedule.output_failed()
        if was_working:
            # try at once: a device that refused something else may still switch run permit off
            self._refreshed_ns -= self._refresh_ns
            log.error("output failed: run permit off", error=f"{error}" or type(error).__name__)

    def _try_again(self, signals: Signals) -> None:
        try:
            self._write(signals)  # the schedule wants the safe state of a failed output
            self._read_actuator()
            self._read_run_permit()
        except Exception as error:
            self._fail(error)
            return
        self._refreshed_ns = self._clock_ns()
        self._good_checks += 1
        if not self._has_failed:
            self._schedule.output_works()
            log.warning("output works again")
