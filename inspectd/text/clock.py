"""Whether the wall clock may decide which date is right. While it is known to be wrong, no date passes."""

import time
from datetime import UTC, datetime
from typing import Literal

from inspectd.part import Part
from inspectd.wall_clock import ClockStep, WallClock, is_synchronised

_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""This program was written then. A clock that shows an earlier time lost its battery."""
_RELEASED_NS = round(_RELEASED.timestamp()) * 1_000_000_000
_LOOK_S = 1.0


class DateClock:
    """Call `look` at least once a second: a clock that drifts for longer looks like one that was set."""

    def __init__(self, kept: Literal["synchronised", "set_by_hand"]) -> None:
        self._clock = WallClock()
        self._is_trusted = kept == "set_by_hand"
        self._step: ClockStep | None = None
        self._next_look_s = 0.0

    def look(self) -> None:
        if (step := self._clock.step()) is not None:
            self._step, self._is_trusted, self._next_look_s = step, False, 0.0
        if not self._is_trusted and time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + _LOOK_S
            self._is_trusted = is_synchronised()

    def confirm(self) -> None:
        """Somebody says that the clock is right."""
        self._is_trusted = True

    def fault(self, part: Part) -> str | None:
        """Why the time of this part's trigger must not decide; None if it may."""
        if part.t_trigger_utc_ns < _RELEASED_NS:
            return f"the clock is wrong: it shows a time before {_RELEASED:%Y-%m-%d}"
        if not self._is_trusted:
            was = "is not synchronised" if self._step is None else f"was set by {self._step.seconds:+.1f} s"
            return f"the clock {was}, and nobody has confirmed it"
        if self._step is not None and part.t_trigger_ns <= self._step.t_mono_ns:
            return "the clock was set while this label was on its way"
        return None
