"""Has the generator learnt its photos by heart? Samples are compared with unseen photos: how close is each to its nearest training photo?

Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models", 2020.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from inspectd.interval import interval

_SIGNIFICANT = 0.01

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Memorisation:
    samples: int
    held_out: int
    closer_share: float
    """Chance that a sample lies closer to a training photo than an unseen photo does: 0.5 like new photos, 1 copies."""
    p_value: float
    """One-sided Mann-Whitney: of so many samples that close, were they new photos."""
    closest_share: float
    """Of samples closer than every unseen photo."""
    closest_interval: tuple[float, float]
    """95 %."""

    @property
    def copied(self) -> bool:
        return self.p_value < _SIGNIFICANT


def nearest(features: Features, train: Features) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Place of each one's nearest training photo, and the distance."""
    distances = cdist(features, train)
    places = distances.argmin(1)
    return places, distances[np.arange(len(features)), places]


def memorisation(samples: NDArray[np.float64], held_out: NDArray[np.float64]) -> Memorisation:
    """From the distances of samples and of unseen photos to their nearest training photo, both of the same class."""
    test = mannwhitneyu(samples, held_out, alternative="less")
    closest = int((samples < held_out.min()).sum())
    return Memorisation(
        samples=len(samples),
        held_out=len(held_out),
        closer_share=1 - float(test.statistic) / (len(samples) * len(held_out)),
        p_value=float(test.pvalue),
        closest_share=closest / len(samples),
        closest_interval=interval(closest, len(samples)),
    )
