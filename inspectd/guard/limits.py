"""From which scores on a label is rejected: chosen with good labels that the guard was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inspectd.guard.model import Judgement

_POSE_RESERVE = 1.2
"""A print may lie as much farther than the farthest good one seen: a few labels don't show a tolerance's ends."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest scores of a good label."""

    print: float
    part: float
    misplaced: float

    def excess(self, judgement: Judgement) -> float:
        """The largest score as a share of its limit: above 1 the label is unlike good ones."""
        limits = (self.print, self.part, self.misplaced)
        return max(score / limit for score, limit in zip(judgement.scores, limits, strict=True))

    def accepts(self, judgement: Judgement) -> bool:
        return self.excess(judgement) <= 1  # so written, NaN is not good


def fit(judgements: Sequence[Judgement], rejected: float) -> Limits:
    """Limits at which at most the share `rejected` of these good labels is rejected by its worst place.

    The scores of print and part become comparable by mean and spread of their logarithms.
    """
    scores = np.array([judgement.scores for judgement in judgements])
    logs = np.log(scores[:, :2])
    mean, spread = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-3)
    worst = np.sort(((logs - mean) / spread).max(axis=1))
    height = worst[-1 - int(rejected * len(worst))]
    print_, part = np.exp(mean + height * spread).tolist()
    return Limits(print_, part, _POSE_RESERVE * max(1.0, float(scores[:, 2].max())))
