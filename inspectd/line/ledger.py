"""The books of a line: triggers = pass + fault + uncertain + missed + open. This is checked at every entry."""

import threading
from collections import Counter
from dataclasses import dataclass

from inspectd.errors import LineFault
from inspectd.part import Fault, Pass, Uncertain, Verdict, instead_of_pass, words


@dataclass(frozen=True, slots=True)
class Tally:
    """The books at one moment."""

    triggers: int
    passed: int
    faults: dict[str, int]
    uncertain: int
    missed: dict[str, int]
    open: int
    anomalies: int = 0
    """How many of `uncertain` the guard stopped."""
    not_expected: int = 0
    """How many of `uncertain` have a text that nobody has announced."""

    @property
    def rejected(self) -> int:
        return sum(self.faults.values()) + self.uncertain + sum(self.missed.values())


class Books:
    """Each part is opened once, by its trigger, and closed once, by its verdict. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._triggers = 0
        self._open: set[int] = set()
        self._on_the_way: set[int] = set()
        """Parts with a recorded pass on which the gate has not acted yet."""
        self._passed = 0
        self._faults: Counter[str] = Counter()
        self._uncertain = 0
        self._anomalies = 0
        self._not_expected = 0
        self._missed: Counter[str] = Counter()

    def trigger(self, part_id: int) -> None:
        """A part exists. Raises LineFault if it is open already."""
        with self._lock:
            if part_id in self._open:
                raise LineFault(f"part {part_id} was triggered twice")
            self._triggers += 1
            self._open.add(part_id)
            self._balance()

    def decide(self, part_id: int, verdict: Verdict) -> None:
        """The part has a verdict. Raises LineFault if it is not open: it has a verdict already, or was never triggered."""
        with self._lock:
            if part_id not in self._open:
                raise LineFault(f"part {part_id} got a verdict but is not open")
            self._open.remove(part_id)
            match verdict:
                case Pass():
                    self._passed += 1
                    self._on_the_way.add(part_id)
                case Fault():
                    self._faults[words(verdict).label] += 1
                case Uncertain(anomaly=anomaly, text=text):
                    self._uncertain += 1
                    self._anomalies += anomaly is not None
                    self._not_expected += text is not None
                case _:
                    self._missed[verdict.reason] += 1
            self._balance()

    def gate_acted(self, part_id: int, *, passed: bool) -> None:
        """What the gate did with the label. A recorded pass that it did not let through counts as `missed`."""
        with self._lock:
            if part_id not in self._on_the_way:
                return
            self._on_the_way.remove(part_id)
            if (missed := instead_of_pass(was_let_through=passed)) is not None:
                self._passed -= 1
                self._missed[missed.reason] += 1
                self._balance()

    def tally(self) -> Tally:
        with self._lock:
            return Tally(
                self._triggers,
                self._passed,
                dict(self._faults),
                self._uncertain,
                {str(reason): count for reason, count in self._missed.items()},
                len(self._open),
                self._anomalies,
                self._not_expected,
            )

    def _balance(self) -> None:
        closed = self._passed + self._faults.total() + self._uncertain + self._missed.total()
        if self._passed < len(self._on_the_way) or self._triggers != closed + len(self._open):
            raise LineFault(
                f"the books don't balance: {self._triggers} triggers, {closed} closed, {len(self._open)} open"
            )
