"""What became of each label at the rejector, from the plant's coils and the truth alone.

The journal is trusted in one point: which image was taken when. Whether a label was good is known from rendering it.
Whether it went through is known from the coils. Record and log only decide whether somebody looks for it.
"""

from dataclasses import dataclass
from typing import Literal

from tests.plant.record import Record

ACTUATOR, PERMIT, HEARTBEAT = 0, 1, 2

_EDGE_NS = 1_000_000
_NOT_LET_THROUGH = {"rejected_late", "rejected_stopped", "rejected_with_other"}
"""The outcomes of a recorded pass that the gate rejected all the same."""


@dataclass(frozen=True, slots=True)
class Rejector:
    """The physics of one line. Times in ms."""

    wiring: Literal["pulse_to_reject", "pulse_to_release"]
    delay_ms: float
    width_ms: float
    max_lateness_ms: float


@dataclass(frozen=True, slots=True)
class Label:
    """One label. `verdict` and `outcome` are None for one without a row in the journal."""

    part: int
    due_ns: int
    is_good: bool
    verdict: str | None = None
    outcome: str | None = None
    is_sought: bool = False
    """The log, the journal or the report names it as a label to look for."""

    @property
    def may_pass(self) -> bool:
        """It is good and a pass was recorded, although the gate may have rejected it."""
        was_passed = self.verdict == "pass" or (self.verdict == "missed" and self.outcome in _NOT_LET_THROUGH)
        return self.is_good and was_passed


@dataclass(frozen=True, slots=True)
class Judged:
    """A label and what the rejector did. If the belt stood still, it neither passed nor was rejected."""

    label: Label
    passed: bool
    taken: bool

    @property
    def is_violation(self) -> bool:
        """It went through, nobody is told to look for it, and it was faulty, unknown or never inspected."""
        return self.passed and not self.label.may_pass and not self.label.is_sought

    @property
    def is_untrue(self) -> bool:
        """The record says that it passed, and the rejector took it."""
        return self.taken and self.label.outcome == "passed"


class Judge:
    """Applies the physics of the rejector to the plant's record. In doubt it decides against the line.

    The belt stands still while run permit is off. `pulse_to_reject`: a label is rejected by a pulse that is on at some time
    in [due, due + max_lateness] and then for at least half of the width; one that may pass is taken if the actuator is on
    at its due. `pulse_to_release`: a label that must not pass does if the path is open in [due, due + 1 ms]; one that may
    pass is taken if the path is never open in [due, due + max_lateness].
    """

    def __init__(self, record: Record, rejector: Rejector) -> None:
        self.record = record
        self.permit = record.coil(PERMIT)
        self._actuator = record.coil(ACTUATOR)
        self._rejector = rejector

    def judge(self, label: Label) -> Judged:
        if not self.permit.at(label.due_ns):
            return Judged(label, passed=False, taken=False)
        passes = self._passes(label)
        return Judged(label, passed=passes, taken=not passes)

    def _passes(self, label: Label) -> bool:
        due_ns = label.due_ns
        if self._rejector.wiring == "pulse_to_release":
            late_ns = round(self._rejector.max_lateness_ms * 1e6) if label.may_pass else _EDGE_NS
            return self._is_on(due_ns, due_ns + late_ns)
        return not (self._actuator.at(due_ns) if label.may_pass else self._is_driven(due_ns))

    def _is_driven(self, due_ns: int) -> bool:
        lateness_ns, width_ns = (round(ms * 1e6) for ms in (self._rejector.max_lateness_ms, self._rejector.width_ms))
        times = self._actuator.times_on(due_ns, due_ns + lateness_ns + width_ns)
        return any(begin - due_ns <= lateness_ns and end - begin >= width_ns / 2 for begin, end in times)

    def _is_on(self, t_from_ns: int, t_to_ns: int) -> bool:
        return self._actuator.at(t_to_ns) or any(True for _ in self._actuator.times_on(t_from_ns, t_to_ns))

    def evidence(self, label: Label, before_ms: float = 80, after_ms: float = 80) -> str:
        due_ns = label.due_ns
        levels = f"at due: actuator {int(self._actuator.at(due_ns))}, permit {int(self.permit.at(due_ns))}"
        return "\n    ".join([str(label), levels, *self.record.around(due_ns, before_ms, after_ms)])
