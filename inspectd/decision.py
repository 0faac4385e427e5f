"""From scores to a verdict: DUQ's rejection rule (van Amersfoort et al. 2020, section 3).

Certainty is max_c K_c, the largest RBF kernel value to a class centroid. Below the threshold calibrated for the
engine, or if two classes have the same largest value, the part is unknown, and unknown is not good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inspectd.errors import InferenceError
from inspectd.part import Fault, Pass, Scores, Uncertain

_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class Policy:
    """The engine's classes, its pass class and its certainty threshold in 0..1."""

    classes: tuple[str, ...]
    pass_class: str
    threshold: float

    def judge(self, values: Sequence[float]) -> Pass | Fault | Uncertain:
        """Verdict for one part. `values`: one score in 0..1 per class, in the order of `classes`.

        Raises InferenceError if the values are not scores: a wrong number of them, one that is not finite, or one outside
        0..1 by more than 0.001 (less can come from rounding). A broken engine must not look like a certain one.
        """
        if len(values) != len(self.classes):
            raise InferenceError(f"{len(values)} scores for {len(self.classes)} classes")
        if not all(math.isfinite(value) and -_ROUNDING <= value <= 1 + _ROUNDING for value in values):
            raise InferenceError(f"scores outside 0..1: {[float(value) for value in values]}")
        scores = Scores(self.classes, tuple(float(value) for value in values))
        if scores.certainty < self.threshold or scores.values.count(scores.certainty) > 1:
            return Uncertain(scores)
        if scores.predicted == self.pass_class:
            return Pass(scores)
        return Fault(scores)
