"""The reasons against a new engine. It is accepted only if there are none."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.inference.manifest import Threshold
from inspectd.learning.doubts import CHANCE, Doubts
from inspectd.learning.not_worse import MARGIN, Paired
from inspectd.records.reviews import UNKNOWN

_MOST_NAMED: Final = 20
"""Parts named in one sentence."""


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden image, and what each engine makes of it: a class or `unknown`; the pass class means that it passes."""

    shows: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Proof:
    """On photos from which the new engine learned nothing."""

    false_accepts: Paired
    false_rejects: Paired
    golden: tuple[Golden, ...]
    old: Threshold
    new: Threshold

    pass_class: str

    @property
    def too_lax(self) -> bool:
        """A higher threshold may help."""
        lets_pass = any(worse(golden, self.pass_class) and golden.new == self.pass_class for golden in self.golden)
        return lets_pass or self.new.alpha > self.old.alpha or not self.false_accepts.is_shown

    @property
    def too_strict(self) -> bool:
        """A lower threshold may help."""
        return not self.false_rejects.is_shown

    def reasons(self) -> list[str]:
        """Why it is not proven that the new engine is not worse; empty if it is."""
        found = []
        if self.new.alpha > self.old.alpha:
            found.append(
                f"The calibration photos show that at most {self.new.alpha:.2%} of the faulty or unknown labels pass the new "
                f"engine. The old engine guarantees {self.old.alpha:.2%}."
            )
        found += [
            f"The golden image of {golden.shows} was {_said(golden.old, self.pass_class)}, and would be {_said(golden.new, self.pass_class)}."
            for golden in self.golden
            if worse(golden, self.pass_class)
        ]
        for what, paired, errs, ok in (
            ("faulty or unknown", self.false_accepts, "let pass", "rejects"),
            ("good", self.false_rejects, "reject", "lets pass"),
        ):
            if not paired.is_shown:
                found.append(
                    f"It is not shown that the new engine does not {errs} more {what} labels: of {paired.right} that the old "
                    f"engine {ok}, the new one would {errs} {paired.new_errors}; up to {paired.difference_at_most:.0%} more may "
                    f"be wrong, and {MARGIN:.0%} is allowed."
                )
        return found

    def wanted(self) -> list[str]:
        """How many more reviewed labels would prove what is not proven, if both engines judge them right."""
        steps = (
            (self.false_accepts, "faulty or unknown ones that the engine rejects", "let pass"),
            (self.false_rejects, "good ones that the engine lets pass", "reject"),
        )
        return [
            f"{paired.more_needed()} more {what}: can prove that the new engine does not {errs} {MARGIN:.0%} more"
            for paired, what, errs in steps
            if not paired.is_shown
        ]


def worse(golden: Golden, pass_class: str) -> bool:
    """A golden image of a fault or an unknown must not pass. A fault that was right may become unknown, but not another fault.

    One of a good label that is rejected does not decide alone: it counts as one new error (`lost`). An engine from few photos rejects many good
    labels, and it was fitted to this one.
    """
    if golden.shows == pass_class:
        return False
    other_fault = golden.old == golden.shows != golden.new and golden.new != UNKNOWN
    return other_fault or golden.new == pass_class != golden.old


def lost(golden: Golden, pass_class: str) -> bool:
    """A good label that the old engine lets pass, and the new one rejects."""
    return golden.shows == pass_class == golden.old != golden.new


def reasons_of_labels(doubts: Doubts, line_parts: NDArray[np.int64]) -> list[str]:
    """Why these labels must not teach an engine; empty if they may."""
    found = []
    if doubts.too_many:
        named = line_parts[doubts.worst_first].tolist()
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        found.append(
            f"{len(named)} of {len(line_parts)} labels contradict the others, and only one person has looked at them; "
            f"{doubts.allowed} may. A second person should review these parts: {', '.join(map(str, named[:_MOST_NAMED]))}{more}."
        )
    for what, chance in (
        ("Good and faulty", doubts.sides_by_chance),
        ("The names of faults in the", doubts.faults_by_chance),
    ):
        if chance > CHANCE:
            found.append(
                f"{what} labels do not agree with the engine in use: labels given at random would agree as well with a "
                f"probability of {chance:.0%}. They may be swapped, or there are too few."
            )
    return found


def _said(verdict: str, pass_class: str) -> str:
    return "passed" if verdict == pass_class else f"rejected as {verdict}"
