"""Rates of false accepts and false rejects at a threshold, with their intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspectd.binomial import interval

CONFIDENCE = 0.95

Values = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of `n` are errors, with the 95 % interval of Clopper and Pearson."""

    errors: int
    n: int

    @property
    def share(self) -> float:
        return self.errors / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return interval(self.errors, self.n, CONFIDENCE)

    def __str__(self) -> str:
        if not self.n:
            return "none tried"
        low, high = self.interval
        return f"{self.errors} of {self.n} ({self.share:.2%}, 95 % interval {low:.2%} to {high:.2%})"


def pass_certainty(scores: Values, pass_class: int) -> Values:
    """(N, K) -> (N,): the certainty with which each image would pass; 0 if another class is at least as likely."""
    others = np.delete(scores, pass_class, axis=1).max(axis=1)
    certainty: Values = np.where(scores[:, pass_class] > others, scores[:, pass_class], 0)
    return certainty


def rates(certainty: dict[str, Values], threshold: float) -> dict[str, Rate]:
    """Folder name -> how many of its images would pass at the threshold."""
    return {name: Rate(int((values >= threshold).sum()), len(values)) for name, values in certainty.items()}


def false_rejects(good: Values, threshold: float) -> Rate:
    return Rate(int((good < threshold).sum()), len(good))
