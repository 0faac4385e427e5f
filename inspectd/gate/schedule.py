"""The gate's logic without a clock: which signals are wanted, and when. Time is passed in; nothing is driven here.

Every expected part is rejected at its due time unless it has been cleared. Run permit needs a fresh permit message that says
ok, an output that does what it is told, and no latched stop. What the output acknowledged and read back comes in through
`acknowledged`, `actuator_read` and `output_failed`. What became of each label goes out through `take_outcomes`.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from inspectd.gate.actuator import Actuator, Pulse
from inspectd.gate.config import CAPACITY, GateConfig
from inspectd.gate.outcome import Done, GateState, Outcome, Stop
from inspectd.gate.outputs.base import SAFE, Signals

_NOBODY_VOUCHES = {
    GateState.LINE_STALLED,
    GateState.LINE_GONE,
    GateState.TOO_MANY_PARTS,
    GateState.STOPPED,
}
"""In these states not even a cleared part in flight passes. A line that only says "not ok", because its camera is gone for
example, has still inspected and recorded what it cleared."""


@dataclass(slots=True, order=True)
class _InFlight:
    """A label on its way to the rejector. The one that is due first comes first."""

    due_ns: int
    part: int
    is_cleared: bool = field(default=False, compare=False)
    """It has passed, and its record is committed."""


class Schedule:
    """The parts of one line that are on their way to the rejector."""

    def __init__(self, config: GateConfig, now_ns: int) -> None:
        self._releases = config.wiring == "pulse_to_release"
        self._max_lateness_ns = round(config.allowed_lateness_ms * 1e6)
        self._close_before_ns = round(config.close_before_ms * 1e6)
        self._width_ns = round(config.width_ms * 1e6)
        self._stall_ns = round(config.stall_ms * 1e6)
        self._toggle_ns = round(config.heartbeat_ms * 1e6)
        self._confirm_ns = round(config.confirmation.within_ms * 1e6) if config.confirmation else None
        self._stop_after = config.stop_after_rejects
        self._share = config.stop_at_reject_share
        self._actuator = Actuator(self._width_ns)
        self._dues: list[_InFlight] = []
        """A heap."""
        self._in_flight: dict[int, _InFlight] = {}
        """The same labels by part."""
        self._fired: deque[int] = deque(maxlen=CAPACITY)
        self._outcomes: list[Done] = []
        self._rest_on_off = deque[tuple[int, int]](maxlen=CAPACITY)
        """Labels whose outcome is only right if the actuator stayed off until they had gone by, and when that is (ns). The
        actuator has not been read since."""
        self._unscheduled_until_ns: int | None = None
        self._permit_ns: int | None = None
        self._line_ok = False
        self._line_gone = False
        self._stopping = False
        self._output_failed = False
        self.stops = Stop(0)
        """Latched, and not acknowledged yet."""
        self._rejects_in_a_row = 0
        self._recent = deque[bool](maxlen=self._share.of_last if self._share else 1)
        self._confirm_by_ns: int | None = None
        self._toggled_ns = now_ns
        self._toggle = False

    # what the line says

    def expect(self, part: int, due_ns: int) -> None:
        """A part exists: reject it at `due_ns` unless it is cleared before.

        One more than CAPACITY can't be scheduled: somebody must look for it, and the belt stops until it has gone by.
        """
        if len(self._dues) >= CAPACITY:
            self.stops |= Stop.TOO_MANY_PARTS
            self._unscheduled_until_ns = max(due_ns + self._width_ns, self._unscheduled_until_ns or 0)
            self._not_driven(Done(part, Outcome.NOT_DRIVEN))
            return
        self._in_flight[part] = label = _InFlight(due_ns, part)
        heapq.heappush(self._dues, label)

    def clear(self, part: int) -> None:
        """The part has passed and is recorded. Its outcome is REJECTED_LATE if it has been rejected already."""
        if part in self._in_flight:
            self._in_flight[part].is_cleared = True
        elif part in self._fired:
            pulse = self._actuator.open_pulse(part)
            if pulse is not None:
                pulse.if_driven = Outcome.REJECTED_LATE
            else:
                self._outcomes.append(Done(part, Outcome.REJECTED_LATE))

    def permit(self, ok: bool, now_ns: int) -> None:
        self._line_ok = ok
        self._permit_ns = now_ns

    def reset(self, stops: Stop) -> None:
        """An operator has acknowledged these stops: forget them. Others hold on."""
        self.stops &= ~stops
        if Stop.TOO_MANY_REJECTS in stops:
            self._rejects_in_a_row = 0
            self._recent.clear()

    def line_gone(self) -> None:
        self._line_gone = True

    def line_stops(self) -> None:
        """No more permit messages will come, and that is not a stall: what was cleared still passes."""
        self._stopping = True

    # what the output says

    def acknowledged(self, signals: Signals, now_ns: int) -> None:
        """The device has acknowledged the signals."""
        for pulse in self._actuator.acknowledged(signals.actuator, now_ns):
            self._begun(pulse)

    def actuator_read(self, on: bool, now_ns: int) -> None:
        """The device says what its actuator is now, whatever was commanded."""
        if on and self._actuator.is_acknowledged_off:
            self._revise()
        while not on and self._rest_on_off and self._rest_on_off[0][1] <= now_ns:
            self._rest_on_off.popleft()
        for pulse in self._actuator.read(on, now_ns):
            self._settle(pulse, pulse.if_driven)

    def output_failed(self) -> None:
        """The device does not answer, or is not as it was commanded. The labels of its pulses may have gone by."""
        self._output_failed = True
        for pulse in self._actuator.failed():
            self._settle(pulse, Outcome.REJECTED_STOPPED if self._releases else Outcome.NOT_DRIVEN)

    def output_works(self) -> None:
        """The safe state has been acknowledged and read back."""
        self._output_failed = False
        self._actuator.works()

    def confirmed(self) -> None:
        """The plant has confirmed the reject in progress."""
        self._confirm_by_ns = None

    # what the gate does

    def step(self, now_ns: int) -> Signals:
        """The signals wanted now."""
        if self._confirm_by_ns is not None and now_ns >= self._confirm_by_ns:
            self.stops |= Stop.REJECT_UNCONFIRMED
            self._confirm_by_ns = None
        if self._unscheduled_until_ns is not None and now_ns >= self._unscheduled_until_ns:
            self._unscheduled_until_ns = None
        while self._dues and self._dues[0].due_ns <= now_ns:
            label = heapq.heappop(self._dues)
            del self._in_flight[label.part]
            self._act(label, now_ns)
        signals = self._signals(now_ns)
        self._actuator.command(signals.actuator)
        return signals

    def wants_actuator_read(self, now_ns: int) -> bool:
        """Whether to read the actuator now: only that shows that a pulse was real, or that a path is closed."""
        if self._output_failed:
            return False
        if self._actuator.wants_reading(now_ns):
            return True
        if self._releases:
            return self._closed_path_is_unproven(now_ns)
        return bool(self._rest_on_off) and self._actuator.wants_proof_of_off()

    def take_outcomes(self) -> list[Done]:
        """What became of labels since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def state(self, now_ns: int) -> GateState:
        """Why run permit is on or off: the first reason that applies. `stops` has all latched ones."""
        if self._line_gone:
            return GateState.LINE_GONE
        if self._output_failed:
            return GateState.OUTPUT_FAILED
        if self._unscheduled_until_ns is not None:
            return GateState.TOO_MANY_PARTS
        if self.stops:
            return GateState.STOPPED
        if self._stopping:
            return GateState.LINE_NOT_OK
        if self._permit_ns is None:
            return GateState.STARTING
        if now_ns - self._permit_ns > self._stall_ns:
            return GateState.LINE_STALLED
        return GateState.RUNNING if self._line_ok else GateState.LINE_NOT_OK

    def next_wake_ns(self, now_ns: int) -> int:
        """When `step` or `wants_actuator_read` may give another answer, if nothing happens before."""
        times = [self._toggled_ns + self._toggle_ns, *self._actuator.next_ns()]
        if self._dues:
            times.append(self._dues[0].due_ns)
        if self._unscheduled_until_ns is not None:
            times.append(self._unscheduled_until_ns)
        if self._confirm_by_ns is not None:
            times.append(self._confirm_by_ns)
        if self._permit_ns is not None and now_ns - self._permit_ns <= self._stall_ns:
            times.append(self._permit_ns + self._stall_ns + 1)
        wake_ns = min(times)
        if self._releases:
            wake_ns = min([wake_ns, *(by_ns for _, by_ns in self._rest_on_off if by_ns > now_ns)])
            closings = (due_ns - self._close_before_ns for due_ns in self._rejects_due(wake_ns, now_ns))
            wake_ns = min([wake_ns, *(closing_ns for closing_ns in closings if closing_ns > now_ns)])
        return wake_ns

    @property
    def awaits_confirmation(self) -> bool:
        return self._confirm_by_ns is not None

    def is_idle(self, now_ns: int) -> bool:
        """Whether nothing is in flight, and no pulse is on or wanted."""
        return not self._dues and not self._actuator.wants_on(now_ns)

    def _act(self, label: _InFlight, now_ns: int) -> None:
        """The label is due: let it pass or reject it."""
        part, due_ns = label.part, label.due_ns
        passes = label.is_cleared and self._is_vouched_for(now_ns)
        if self._releases:  # a path that opens late would let the next label in too
            passes &= now_ns - due_ns <= self._max_lateness_ns and not self._output_failed
        if not (label.is_cleared and self.stops):  # a good label that only a stop rejects says nothing about the print
            self._count(rejected=not passes)
        if not passes:
            self._fired.append(part)
        outcome = Outcome.PASSED if passes else Outcome.REJECTED_STOPPED if label.is_cleared else Outcome.REJECTED
        if passes == self._releases:
            self._pulse(Pulse(part, due_ns, if_driven=outcome))
        elif passes:
            has_gone_by = now_ns - due_ns > self._max_lateness_ns
            taken = (self._actuator.wants_on(now_ns) and not has_gone_by) or not self._actuator.was_off(due_ns)
            self._outcomes.append(Done(part, Outcome.REJECTED_WITH_OTHER if taken else outcome))
            if not taken:
                self._rest_on_off.append((part, due_ns))
        else:
            self._reject_by_closed_path(part, due_ns, outcome)

    def _pulse(self, pulse: Pulse) -> None:
        if self._output_failed:
            self._settle(pulse, Outcome.NOT_DRIVEN)
            return
        self._actuator.owe(pulse)
        if pulse.began_ns is not None:
            self._begun(pulse)

    def _begun(self, pulse: Pulse) -> None:
        assert pulse.began_ns is not None
        is_late = pulse.lateness_ns > self._max_lateness_ns
        if self._releases:
            if is_late:
                self._actuator.drop(pulse)
                self._settle(pulse, Outcome.REJECTED_STOPPED)
            return
        if is_late:  # it stays on: it may still catch its label
            self._settle(pulse, Outcome.NOT_DRIVEN)
        if self._confirm_ns is not None and self._confirm_by_ns is None:
            self._confirm_by_ns = pulse.began_ns + self._confirm_ns

    def _reject_by_closed_path(self, part: int, due_ns: int, outcome: Outcome) -> None:
        """The label is at the path: the path must have been closed at its due time, and be known to be closed.

        A pulse that still waits for an earlier label would open the path for this one.
        """
        for pulse in (*self._actuator.cut(), *self._actuator.drop_waiting(due_ns + 1)):
            self._settle(pulse, Outcome.REJECTED_STOPPED)
        if not (self._actuator.is_read_off and self._actuator.was_off(due_ns)):
            self._not_driven(Done(part, Outcome.NOT_DRIVEN))
            return
        self._outcomes.append(Done(part, outcome))
        if outcome is Outcome.REJECTED:
            self._rest_on_off.append((part, due_ns + self._close_before_ns))

    def _revise(self) -> None:
        """The actuator is on although the gate has not commanded it, and nobody knows since when: correct what was said of labels."""
        for part, _ in self._rest_on_off:
            if self._releases:
                self._not_driven(Done(part, Outcome.NOT_DRIVEN))
            else:
                self._outcomes.append(Done(part, Outcome.REJECTED_WITH_OTHER))
        self._rest_on_off.clear()

    def _settle(self, pulse: Pulse, outcome: Outcome) -> None:
        pulse.is_settled = True
        done = Done(pulse.part, outcome, pulse.began_ns or 0, pulse.lateness_ns)
        if outcome is Outcome.NOT_DRIVEN:
            self._not_driven(done)
        else:
            self._outcomes.append(done)

    def _not_driven(self, done: Done) -> None:
        self._outcomes.append(done)
        self.stops |= Stop.REJECT_NOT_DRIVEN

    def _is_vouched_for(self, now_ns: int) -> bool:
        return self.state(now_ns) not in _NOBODY_VOUCHES

    def _count(self, *, rejected: bool) -> None:
        self._rejects_in_a_row = self._rejects_in_a_row + 1 if rejected else 0
        self._recent.append(rejected)
        too_many = 0 < self._stop_after <= self._rejects_in_a_row
        if self._share is not None and len(self._recent) == self._share.of_last:
            too_many |= 100 * sum(self._recent) > self._share.percent * self._share.of_last
        if too_many:
            self.stops |= Stop.TOO_MANY_REJECTS

    def _signals(self, now_ns: int) -> Signals:
        actuator = not self._output_failed and self._actuator_wanted(now_ns)
        if self._line_gone and self.is_idle(now_ns):
            return SAFE
        running = self.state(now_ns) is GateState.RUNNING
        if now_ns - self._toggled_ns >= self._toggle_ns:
            self._toggled_ns = now_ns
            self._toggle ^= running
        return Signals(actuator=actuator, run_permit=running, heartbeat=self._toggle)

    def _actuator_wanted(self, now_ns: int) -> bool:
        if not self._releases:
            return self._actuator.wants_on(now_ns)
        for pulse in self._actuator.drop_waiting(now_ns - self._max_lateness_ns):
            self._settle(pulse, Outcome.REJECTED_STOPPED)
        if next(self._rejects_due(now_ns, now_ns), None) is not None:
            for pulse in self._actuator.cut():
                self._settle(pulse, Outcome.REJECTED_STOPPED)
            return False
        return self._actuator.wants_on(now_ns)

    def _closed_path_is_unproven(self, now_ns: int) -> bool:
        """Nobody has checked that the path is closed since it was closed, or since the last bad label came near or passed."""
        if not self._actuator.is_acknowledged_off:
            return False
        return (
            bool(self._rest_on_off and self._rest_on_off[0][1] <= now_ns)
            or self._actuator.wants_proof_of_off()
            or any(
                self._actuator.read_off_ns < due_ns - self._close_before_ns
                for due_ns in self._rejects_due(now_ns, now_ns)
            )
        )

    def _rejects_due(self, from_ns: int, now_ns: int) -> Iterator[int]:
        """The due times, before `from_ns` + close_before, of parts that would not pass if they were due now."""
        vouched = self._is_vouched_for(now_ns) and not self._output_failed
        places = [0]
        while places:
            place = places.pop()
            if place >= len(self._dues) or self._dues[place].due_ns > from_ns + self._close_before_ns:
                continue
            label = self._dues[place]
            if not (vouched and label.is_cleared):
                yield label.due_ns
            places += (2 * place + 1, 2 * place + 2)  # the heap's children are due later
