"""Each reason to stop the belt is told once until it is acknowledged. None hides another, in whatever order they come."""

from unittest.mock import patch

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inspectd.gate.messages import Kind, Message
from inspectd.gate.outcome import GateState, Outcome, Stop
from tests.gate.bench import MS, Bench

STOP_AFTER = 3
CAPACITY = 6
EVERY_STOP = st.sets(st.sampled_from(list(Stop))).map(lambda stops: Stop(sum(stops)))


class Stops(RuleBasedStateMachine):
    """Labels are due at even ms and a confirmation is overdue at odd ms, so that the model knows which came first.

    `open` is the model. `told` is what a line has been told, and has recorded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = patch("inspectd.gate.schedule.CAPACITY", CAPACITY)
        self.patch.start()
        self.bench = Bench(
            stop_after_rejects=STOP_AFTER,
            confirmation={"within_ms": 7},
            width_ms=4,
            refresh_ms=20,
            output={"kind": "simulated", "record": "/dev/null", "confirms": True},
        )
        self.open = self.told = Stop(0)
        self.rejects_in_a_row = 0
        self.cleared: set[int] = set()
        self.unscheduled: set[int] = set()
        self.waiting: dict[int, int] = {}
        self.parts = 0
        self.tick()

    def teardown(self) -> None:
        self.patch.stop()

    @rule(cleared=st.booleans(), after_ticks=st.integers(1, 4))
    def label(self, cleared: bool, after_ticks: int) -> None:
        self.parts += 1
        due_ms = max([self.now_ms, *self.waiting.values()]) + 2 * after_ticks
        due_ms += due_ms % 2
        if len(self.waiting) >= CAPACITY:
            self.open |= Stop.TOO_MANY_PARTS | Stop.REJECT_NOT_DRIVEN
            self.unscheduled.add(self.parts)
        else:
            self.waiting[self.parts] = due_ms
        self.bench.expect(self.parts, due_ms, cleared=cleared)
        if cleared:
            self.cleared.add(self.parts)

    @rule(ticks=st.integers(1, 30))
    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick()

    @rule(works=st.booleans())
    def actuator(self, works: bool) -> None:
        self.bench.device.drives_actuator = works

    @rule(confirms=st.booleans())
    def confirmation(self, confirms: bool) -> None:
        self.bench.device.confirms = confirms

    @rule(answers=st.booleans())
    def cable(self, answers: bool) -> None:
        self.bench.device.answers = answers

    @rule(shown=EVERY_STOP)
    def acknowledge(self, shown: Stop) -> None:
        self.bench.schedule.reset(shown)
        self.open &= ~shown
        self.told &= ~shown
        if Stop.TOO_MANY_REJECTS in shown:
            self.rejects_in_a_row = 0

    @rule()
    def beat(self) -> None:
        """A line hears of each stop that it does not know yet, and knows it from then on."""
        schedule = self.bench.schedule
        data = Message(Kind.ALIVE, schedule.state(self.bench.device.now_ns), stops=schedule.stops).pack()
        new = Stop(Message.unpack(data).stops) & ~self.told
        assert new == self.open & ~self.told
        self.told |= new

    @invariant()
    def no_stop_hides_another(self) -> None:
        assert self.bench.schedule.stops == self.open
        if self.open:
            assert self.bench.schedule.state(self.bench.device.now_ns) is not GateState.RUNNING

    @property
    def now_ms(self) -> int:
        return self.bench.device.now_ns // MS

    def tick(self) -> None:
        """One ms."""
        device, schedule = self.bench.device, self.bench.schedule
        device.now_ns += MS
        schedule.permit(True, device.now_ns)
        told, commands, awaited, was_open = (
            len(self.bench.done),
            len(device.history),
            schedule.awaits_confirmation,
            self.open,
        )
        is_confirmed = False
        confirmed = device.confirmed

        def listening() -> bool:
            nonlocal is_confirmed
            is_confirmed |= confirmed()
            return is_confirmed

        with patch.object(device, "confirmed", listening):
            self.bench.turn()
        done = self.bench.done[told:]
        if awaited and not schedule.awaits_confirmation and not is_confirmed:
            self.open |= Stop.REJECT_UNCONFIRMED
        for part in [part for part, due_ms in self.waiting.items() if due_ms <= self.now_ms]:
            del self.waiting[part]
            passed = any(
                each.part == part and each.outcome in (Outcome.PASSED, Outcome.REJECTED_WITH_OTHER) for each in done
            )
            if part not in self.cleared or not self.open:
                self.rejects_in_a_row = 0 if passed else self.rejects_in_a_row + 1
            if self.rejects_in_a_row >= STOP_AFTER:
                self.open |= Stop.TOO_MANY_REJECTS
        if any(each.outcome is Outcome.NOT_DRIVEN and each.part not in self.unscheduled for each in done):
            self.open |= Stop.REJECT_NOT_DRIVEN
        if was_open:
            assert not any(signals.run_permit for _, signals in device.history[commands:])


TestStops = Stops.TestCase
TestStops.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
