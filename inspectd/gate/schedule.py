"""The gate's logic without its clock: which signals, and when. Time is passed in, nothing is done here.

Every expected part is rejected at its due time unless it has been cleared. Run permit needs a fresh heartbeat that says
ok, an output that can be driven, and no latched stop.
"""

import heapq
from collections import deque

from inspectd.gate.config import GateConfig
from inspectd.gate.messages import GateState, Kind, Message, Outcome
from inspectd.gate.output import SAFE, Signals

CAPACITY = 4096
"""Parts in flight; beyond, the gate stops the belt rather than grow."""

_NOBODY_VOUCHES = {
    GateState.LINE_STALLED,
    GateState.LINE_GONE,
    GateState.TOO_MANY_REJECTS,
    GateState.REJECT_UNCONFIRMED,
    GateState.REJECT_TOO_LATE,
}
"""In these states not even a cleared part in flight passes. A line that only says "not ok" (its camera is gone, say)
has still inspected and recorded what it cleared."""


class Schedule:
    """The parts of one line that are on their way to the rejector."""

    def __init__(self, config: GateConfig, now_ns: int) -> None:
        self._rejects_by_pulse = config.wiring == "pulse_to_reject"
        self._width_ns = round(config.width_ms * 1e6)
        self._max_lateness_ns = round((config.max_lateness_ms or config.width_ms) * 1e6)
        self._stall_ns = round(config.stall_ms * 1e6)
        self._toggle_ns = round(config.heartbeat_ms * 1e6)
        self._confirm_ns = round(config.confirmation.within_ms * 1e6) if config.confirmation else None
        self._stop_after = config.stop_after_rejects
        self._share = config.stop_at_reject_share
        self._dues: list[tuple[int, int]] = []
        self._cleared: dict[int, bool] = {}
        self._fired: deque[int] = deque(maxlen=CAPACITY)
        self._pulse_until_ns = 0
        self._heartbeat_ns: int | None = None
        self._line_ok = False
        self._line_gone = False
        self._output_failed = False
        self._latched: GateState | None = None
        self._rejects_in_a_row = 0
        self._recent = deque[bool](maxlen=self._share.of_last if self._share else 1)
        self._confirm_by_ns: int | None = None
        self._toggled_ns = now_ns
        self._toggle = False

    # what happens to the gate

    def expect(self, part: int, due_ns: int) -> None:
        """A part exists: reject it at `due_ns` unless it is cleared before."""
        if len(self._dues) >= CAPACITY:
            self._latched = GateState.TOO_MANY_REJECTS
            return
        heapq.heappush(self._dues, (due_ns, part))
        self._cleared[part] = False

    def clear(self, part: int) -> list[Message]:
        """The part has passed and is recorded. Answers REJECTED_LATE if it has been rejected already."""
        if part in self._cleared:
            self._cleared[part] = True
            return []
        return [Message(Kind.OUTCOME, Outcome.REJECTED_LATE, part)] if part in self._fired else []

    def heartbeat(self, ok: bool, now_ns: int) -> None:
        self._line_ok = ok
        self._heartbeat_ns = now_ns

    def reset(self) -> None:
        """An operator has looked: forget latched stops."""
        self._latched = None
        self._rejects_in_a_row = 0
        self._recent.clear()

    def line_gone(self) -> None:
        self._line_gone = True

    def output_failed(self, failed: bool) -> None:
        self._output_failed = failed

    def confirmed(self) -> None:
        """The plant has confirmed the reject in progress."""
        self._confirm_by_ns = None

    # what the gate does

    def step(self, now_ns: int) -> tuple[Signals, list[Message]]:
        """The signals wanted now, and the outcomes of the parts whose due time has come (`lateness_ns` of pulses)."""
        if self._confirm_by_ns is not None and now_ns >= self._confirm_by_ns:
            self._latched, self._confirm_by_ns = GateState.REJECT_UNCONFIRMED, None
        outcomes = []
        while self._dues and self._dues[0][0] <= now_ns:
            due_ns, part = heapq.heappop(self._dues)
            outcomes.append(self._act(part, due_ns, now_ns))
        return self._signals(now_ns), outcomes

    def undriven(self, outcome: Message) -> Message:
        """What becomes of an outcome of `step` when its signals could not be written."""
        passed = outcome.code == Outcome.PASSED
        if passed == self._rejects_by_pulse:  # it needed no pulse
            return outcome
        return Message(Kind.OUTCOME, Outcome.REJECTED_STOPPED if passed else Outcome.NOT_DRIVEN, outcome.part)

    def begun(self, outcome: Message, on_since_ns: int) -> Message:
        """What becomes of an outcome of `step`, now that the actuator is on since `on_since_ns`.

        A pulse begins when the output has taken it, not when it was wanted; one that was on at due is in time. A reject
        that begins too late stops the belt.
        """
        if outcome.t_ns == 0:  # no pulse
            return outcome
        due_ns = outcome.t_ns - outcome.lateness_ns
        began_ns = max(due_ns, on_since_ns)
        lateness_ns, code = began_ns - due_ns, outcome.code
        if code != Outcome.PASSED and lateness_ns > self._max_lateness_ns:
            code = Outcome.NOT_DRIVEN
            self._latched = self._latched or GateState.REJECT_TOO_LATE
        return Message(Kind.OUTCOME, code, outcome.part, began_ns, lateness_ns)

    def state(self, now_ns: int) -> GateState:
        """Why run permit is on or off."""
        if self._line_gone:
            return GateState.LINE_GONE
        if self._output_failed:
            return GateState.OUTPUT_FAILED
        if self._latched is not None:
            return self._latched
        if self._heartbeat_ns is None:
            return GateState.STARTING
        if now_ns - self._heartbeat_ns > self._stall_ns:
            return GateState.LINE_STALLED
        return GateState.RUNNING if self._line_ok else GateState.LINE_NOT_OK

    def next_wake_ns(self, now_ns: int) -> int:
        """When `step` has something to do again, if nothing happens before."""
        times = [self._toggled_ns + self._toggle_ns]
        if self._dues:
            times.append(self._dues[0][0])
        if self._pulse_until_ns > now_ns:
            times.append(self._pulse_until_ns)
        if self._confirm_by_ns is not None:
            times.append(self._confirm_by_ns)
        if self._heartbeat_ns is not None and now_ns - self._heartbeat_ns <= self._stall_ns:
            times.append(self._heartbeat_ns + self._stall_ns + 1)
        return min(times)

    @property
    def awaits_confirmation(self) -> bool:
        return self._confirm_by_ns is not None

    def is_idle(self, now_ns: int) -> bool:
        """Nothing is in flight and no pulse is on."""
        return not self._dues and now_ns >= self._pulse_until_ns

    def _act(self, part: int, due_ns: int, now_ns: int) -> Message:
        cleared = self._cleared.pop(part)
        passes = cleared and self.state(now_ns) not in _NOBODY_VOUCHES
        if not self._rejects_by_pulse:  # opened late, the good path would take in the label behind
            passes &= now_ns - due_ns <= self._max_lateness_ns
        self._count(rejected=not passes)
        if not passes:
            self._fired.append(part)
        outcome = Outcome.PASSED if passes else Outcome.REJECTED_STOPPED if cleared else Outcome.REJECTED
        if passes == self._rejects_by_pulse:  # no pulse needed
            return Message(Kind.OUTCOME, outcome, part)
        self._pulse_until_ns = now_ns + self._width_ns
        if not passes and self._confirm_ns is not None and self._confirm_by_ns is None:
            self._confirm_by_ns = now_ns + self._confirm_ns
        return Message(Kind.OUTCOME, outcome, part, t_ns=now_ns, lateness_ns=now_ns - due_ns)

    def _count(self, *, rejected: bool) -> None:
        self._rejects_in_a_row = self._rejects_in_a_row + 1 if rejected else 0
        self._recent.append(rejected)
        too_many = 0 < self._stop_after <= self._rejects_in_a_row
        if self._share is not None and len(self._recent) == self._share.of_last:
            too_many |= 100 * sum(self._recent) > self._share.percent * self._share.of_last
        if too_many and self._latched is None:
            self._latched = GateState.TOO_MANY_REJECTS

    def _signals(self, now_ns: int) -> Signals:
        if self._line_gone and self.is_idle(now_ns):
            return SAFE
        running = self.state(now_ns) is GateState.RUNNING
        if now_ns - self._toggled_ns >= self._toggle_ns:
            self._toggled_ns = now_ns
            self._toggle ^= running
        return Signals(actuator=now_ns < self._pulse_until_ns, run_permit=running, heartbeat=self._toggle)
