"""From which scores on a label is rejected: chosen with good labels that the guard was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspectd.guard.judgement import Judgement
from inspectd.part import AnomalyKind

_RESERVE = 1.15
"""A print may be turned, shifted and faded so many times as far as the farthest good one seen: a few labels don't show a
tolerance's ends."""

_ROUNDING = 1e-6
"""So much more, so that the label which decided a limit is within it."""


@dataclass(frozen=True, slots=True)
class Limits:
    largest: tuple[float, ...]
    """Of `Judgement.scores`: largest ones of a good label."""

    def accepts(self, judgement: Judgement) -> bool:
        # written in this way, NaN is not good
        return all(score <= limit for score, limit in zip(judgement.scores, self.largest, strict=True))


def fit(judgements: Sequence[Judgement], rejected: float) -> Limits:
    """Limits at which at most the share `rejected` of these good labels is rejected by its worst place.

    The views' scores become comparable by mean and spread of their logarithms.
    """
    kinds = [finding.kind for finding in judgements[0].findings]
    return fit_scores(np.array([judgement.scores for judgement in judgements]), kinds, rejected)


def fit_scores(scores: NDArray[np.floating], kinds: Sequence[AnomalyKind], rejected: float) -> Limits:
    """The same, from (N, kinds) the scores of these labels."""
    of_place = [kind in ("print", "part") for kind in kinds]
    logs = np.log(scores[:, of_place])
    mean, spread = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-3)
    worst = np.sort(((logs - mean) / spread).max(axis=1))
    height = worst[-1 - int(rejected * len(worst))]
    largest = _RESERVE * np.maximum(1, scores.max(axis=0))
    largest[of_place] = np.exp(mean + height * spread) * (1 + _ROUNDING)
    return Limits(tuple(largest.tolist()))
