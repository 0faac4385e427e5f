"""Every story of a small gate: two labels, eight ticks, and any two disturbances (`INSPECTD_DISTURBANCES`) at any ticks.

Schedule and drive are real, the device is simulated. After each turn the plant's side is judged. A label that was not cleared
never meets an open path, unless the gate says that somebody must look for it. A reject only counts if it was driven. Run
permit is never on without inspection.
"""

import os
import pickle
from collections.abc import Callable, Iterator

import pytest

from inspectd.gate.outcome import GateState, Outcome, Stop
from inspectd.gate.outputs.base import SAFE, Signals
from tests.gate.bench import MS, Bench

pytestmark = pytest.mark.slow

DISTURBANCES = int(os.environ.get("INSPECTD_DISTURBANCES", "2"))
TICKS = 8
DUES_MS = {1: 3, 2: 6}
WIDTH_MS = 2
STALL_MS = 50


class Story(Bench):
    """A bench that remembers what the line did, to judge the gate by it."""

    def __init__(self, wiring: str, cleared: tuple[int, ...]) -> None:
        super().__init__(wiring=wiring, width_ms=WIDTH_MS, close_before_ms=1, stall_ms=STALL_MS, refresh_ms=10)
        self.cleared = cleared
        self.looked_at = 0
        self.beat_ns, self.ok, self.gone, self.stopping = 0, True, False, False
        self.beat(ok=True)
        for part, due_ms in DUES_MS.items():
            self.expect(part, due_ms, cleared=part in cleared)

    def beat(self, *, ok: bool) -> None:
        if not self.gone and not self.stopping:
            self.schedule.permit(ok, self.device.now_ns)
            self.ok, self.beat_ns = ok, self.device.now_ns

    def line_gone(self) -> None:
        self.schedule.line_gone()
        self.gone = True

    def line_stops(self) -> None:
        self.schedule.line_stops()
        self.stopping = True

    def stand_still(self, ms: int) -> None:
        self.device.now_ns += ms * MS

    def reset(self) -> None:
        self.schedule.reset(~Stop(0))
        self.looked_at = len(self.done)

    def held_arrives(self) -> None:
        """Connections are reset, so nothing arrives once the output works again."""
        if self.device.held is not None and self.schedule.state(self.device.now_ns) is GateState.OUTPUT_FAILED:
            self.device.apply(self.device.held)
        self.device.held = None

    def tick(self) -> None:
        """One turn; judge what the device was told meanwhile."""
        begun_ns, before = self.device.now_ns, len(self.device.history)
        stopped = any(done.outcome is Outcome.NOT_DRIVEN for done in self.done[self.looked_at :])
        inspected = (
            self.ok and not stopped and not self.gone and not self.stopping and begun_ns - self.beat_ns <= STALL_MS * MS
        )
        self.turn()
        assert inspected or not any(signals.run_permit for _, signals in self.device.history[before:])

    def judge(self, wiring: str) -> None:
        assert sorted(done.part for done in self.done) == sorted(DUES_MS), "one outcome each"
        for part, outcome in self.outcomes.items():
            due_ns = DUES_MS[part] * MS
            if part not in self.cleared:
                assert outcome in (Outcome.REJECTED, Outcome.NOT_DRIVEN)
            if wiring == "pulse_to_release":
                assert outcome is not Outcome.REJECTED or not self.device.at(due_ns).actuator
            elif outcome is Outcome.PASSED:
                assert not self.device.at(due_ns).actuator
            elif outcome is Outcome.REJECTED:
                assert self.device.on_ns(due_ns, due_ns + 2 * WIDTH_MS * MS) >= WIDTH_MS * MS / 2


EVENTS: tuple[Callable[[Story], object], ...] = (
    lambda story: story.beat(ok=True),
    lambda story: story.beat(ok=False),
    Story.line_gone,
    Story.line_stops,
    Story.reset,
    lambda story: setattr(story.device, "answers", False),
    lambda story: setattr(story.device, "answers", True),
    lambda story: setattr(story.device, "acknowledges", False),
    lambda story: setattr(story.device, "acknowledges", True),
    lambda story: setattr(story.device, "drives_actuator", False),
    Story.held_arrives,
    lambda story: story.device.apply(SAFE),
    lambda story: story.device.apply(Signals(run_permit=True)),
    lambda story: setattr(story.device, "rise_ns", 4 * MS),
    lambda story: story.stand_still(4),
    lambda story: story.stand_still(STALL_MS + 1),
)


@pytest.mark.parametrize("cleared", [(), (1,), (2,), (1, 2)])
@pytest.mark.parametrize("wiring", ["pulse_to_reject", "pulse_to_release"])
def test_no_interleaving_lets_a_label_pass_or_the_belt_run_blind(wiring, cleared, monkeypatch):
    monkeypatch.setattr("inspectd.gate.drive.log", _Silent())
    explored = 0
    for story, path in _stories(pickle.dumps(Story(wiring, cleared)), 0, DISTURBANCES, ()):
        explored += 1
        try:
            _end(story, wiring)
        except AssertionError as error:
            raise AssertionError(f"{wiring}, cleared {cleared}, (tick, event): {path}") from error
    assert explored > 1000


def _stories(frozen: bytes, tick: int, left: int, path: tuple[tuple[int, int], ...]) -> Iterator[tuple[Story, object]]:
    """Every story that goes on from here with at most `left` more events."""
    story = pickle.loads(frozen)  # noqa: S301, our own
    _advance(story, TICKS - tick)
    yield story, path
    if left == 0:
        return
    for at in range(tick, TICKS):
        for number, event in enumerate(EVENTS):
            story = pickle.loads(frozen)  # noqa: S301
            _advance(story, at - tick)
            event(story)
            story.tick()
            yield from _stories(pickle.dumps(story), at, left - 1, (*path, (at, number)))


def _advance(story: Story, ticks: int) -> None:
    for _ in range(ticks):
        story.tick()
        story.device.now_ns += MS


def _end(story: Story, wiring: str) -> None:
    story.line_gone()
    story.device.answers = story.device.acknowledges = True
    for _ in range(15):
        story.tick()
        story.device.now_ns += 2 * MS
    story.judge(wiring)
    assert story.device.signals == SAFE


class _Silent:
    def error(self, *_: object, **__: object) -> None:
        return

    warning = error
