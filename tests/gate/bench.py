"""A gate without processes: the real schedule and drive, on a simulated device and clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from inspectd.errors import OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.drive import Drive
from inspectd.gate.outcome import Done, Outcome
from inspectd.gate.outputs.base import SAFE, Signals
from inspectd.gate.schedule import Schedule

MS = 1_000_000


def gate_config(**changes: object) -> GateConfig:
    values = {
        "wiring": "pulse_to_reject",
        "delay_ms": 100,
        "width_ms": 20,
        "output": {"kind": "simulated", "record": "/dev/null"},
    }
    return GateConfig.model_validate({**values, **changes})


@dataclass
class Device:
    """The plant's side of an output: what its coils really were, and when."""

    now_ns: int = 0
    signals: Signals = SAFE
    history: list[tuple[int, Signals]] = field(default_factory=lambda: [(-1, SAFE)])
    answers: bool = True
    """False: the cable is cut. Nothing is applied, and no answer comes."""
    acknowledges: bool = True
    """False: the next writes are applied, and the answer is lost."""
    drives_actuator: bool = True
    """False: a write to the actuator's coil is acknowledged, but the coil is not set."""
    held: Signals | None = None
    """What was written while the cable was cut: it arrives when the network delivers it."""
    confirms: bool = True
    rise_ns: int = 0
    """How long a write takes."""
    written: Signals | None = None
    """What the driver wrote last. Like the Modbus driver, it only writes the signals that have changed."""

    def clock_ns(self) -> int:
        return self.now_ns

    def write(self, signals: Signals) -> None:
        before, self.written = self.written, None
        if not self.answers:
            self.held = signals
        self._reach()
        self.now_ns += self.rise_ns
        actuator = signals.actuator and self.drives_actuator
        if before is not None and signals != before and signals.actuator == before.actuator:
            actuator = self.signals.actuator
        self.apply(replace(signals, actuator=actuator))
        if not self.acknowledges:
            raise OutputError("the answer is lost")
        self.written = signals

    def apply(self, signals: Signals) -> None:
        self.signals = signals
        self.history.append((self.now_ns, signals))

    def actuator(self) -> bool:
        self._reach()
        return self.signals.actuator

    def run_permit(self) -> bool:
        self._reach()
        return self.signals.run_permit

    def confirmed(self) -> bool:
        self._reach()
        return self.confirms and self.signals.actuator

    def open(self) -> None:
        self.write(SAFE)

    def close(self) -> None:
        pass

    def warnings(self) -> list[str]:
        return []

    def problems(self) -> list[str]:
        return []

    def at(self, t_ns: int) -> Signals:
        return [signals for since_ns, signals in self.history if since_ns <= t_ns][-1]

    def on_ns(self, t_from_ns: int, t_to_ns: int) -> int:
        """How long the actuator was on in that interval."""
        return sum(
            min(end, t_to_ns) - max(begin, t_from_ns)
            for begin, end in self.pulses()
            if begin < t_to_ns and end > t_from_ns
        )

    def pulses(self) -> Iterator[tuple[int, int]]:
        begin: int | None = None
        for t_ns, signals in self.history:
            if signals.actuator and begin is None:
                begin = t_ns
            if not signals.actuator and begin is not None:
                yield begin, t_ns
                begin = None
        if begin is not None:
            yield begin, self.now_ns

    def _reach(self) -> None:
        if not self.answers:
            raise OutputError("no answer")


class Bench:
    """`at(t)` runs the gate, turn by turn, until `t` ms."""

    def __init__(self, *, refresh_ms: float = 100, **changes: object) -> None:
        self.device = Device()
        self.schedule = Schedule(gate_config(**changes), 0)
        self.drive = Drive(self.schedule, self.device, refresh_ms, self.device.clock_ns)
        self.done: list[Done] = []

    def at(self, t_ms: float, *, beats: bool = True) -> "Bench":
        """Until `t_ms`, with a line that sees every trigger unless told otherwise."""
        end_ns = round(t_ms * MS)
        while True:
            if beats:
                self.schedule.permit(True, self.device.now_ns)
            self.turn()
            if self.device.now_ns >= end_ns:
                return self
            step_ns = min(self.drive.wait_ns(), 10 * MS)
            self.device.now_ns = min(end_ns, self.device.now_ns + max(step_ns, 1000))

    def turn(self) -> None:
        self.drive.turn()
        self.done += self.schedule.take_outcomes()

    def expect(self, part: int, due_ms: float, *, cleared: bool = False) -> None:
        self.schedule.expect(part, round(due_ms * MS))
        if cleared:
            self.schedule.clear(part)

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {done.part: done.outcome for done in self.done}

    def until(self, is_reached: Callable[[], bool], limit_ms: float = 10_000) -> "Bench":
        while not is_reached():
            assert self.device.now_ns < limit_ms * MS, "waited in vain"
            self.at(self.device.now_ns / MS + 1)
        return self
