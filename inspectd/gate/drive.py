"""Schedule and output together: writes what the schedule wants, reads back what became of it, and tries again.

Whatever goes wrong with the output, foreseen or not, is a failure of the output: run permit off, and on with it.
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
"""A refresh takes some answers of the device: it is done where nothing is due for so long, if there is such a pause ..."""
_EARLIEST_SHARE, _LATEST_SHARE = 0.7, 0.9
"""... between these shares of `refresh_ms`; at the latest of them all the same."""
_GOOD_CHECKS = 2
"""After a failure, the safe state must read back so often, `refresh_ms` apart, before the output counts as working:
what was on its way to the device when the cable was cut may still arrive."""


class Drive:
    """`turn` again and again, at the latest after `wait_ns`."""

    def __init__(
        self, schedule: Schedule, output: Output, refresh_ms: float, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`output` is open, so that the safe state is written."""
        self._schedule = schedule
        self._output = output
        self._clock_ns = clock_ns
        self._refresh_ns = round(refresh_ms * 1e6)
        self._written = SAFE
        self._refreshed_ns = clock_ns()
        self._refresh: list[Callable[[], None]] = []
        """What is left of the refresh, last first: one step a turn, or a slow device would hold up a pulse by all of it."""
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
        """How long nothing is to be done, if nothing happens."""
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
            raise OutputError(f"the actuator was commanded {self._written.actuator}, it reads back {on}")

    def _read_run_permit(self) -> None:
        on = self._output.run_permit()
        if on is not None and on != self._written.run_permit:
            raise OutputError(f"run permit was commanded {self._written.run_permit}, it reads back {on}")

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
            self._refreshed_ns -= (
                self._refresh_ns
            )  # a device that only does something else may still take run permit off
            log.error("output failed: run permit off", error=f"{error}" or type(error).__name__)

    def _try_again(self, signals: Signals) -> None:
        try:
            self._write(signals)  # of a failed output the schedule wants neither actuator nor run permit
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
