"""Has the generator learnt its photos by heart? Samples are compared with unseen photos: how close is each to its nearest training photo?

Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative models", 2020.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from inspectd.binomial import interval
from inspectd_tools.synthetic.gan.images import grid
from inspectd_tools.synthetic.gan.photos import Photos
from inspectd_tools.synthetic.quality.features import FeatureSpace
from inspectd_tools.synthetic.quality.similarity import Features

_SIGNIFICANT = 0.01
_PAIRS = 6


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
    def verdict(self) -> Literal["copies", "new", "too few held out"]:
        """Where even the least possible p is no small one, copies can't be told from chance."""
        if 1 / math.comb(self.samples + self.held_out, self.held_out) >= _SIGNIFICANT:
            return "too few held out"
        return "copies" if self.p_value < _SIGNIFICANT else "new"


def compare(
    photos: Photos, images: dict[str, NDArray[np.uint8]], space: FeatureSpace
) -> tuple[dict[str, Memorisation], NDArray[np.uint8]]:
    """`images`: of each class in the order of its label, (N, C, S, S). Class by class, and a sheet: (h, w, 3) RGB.

    The sheet shows the images closest to a training photo, each with that photo to the right of it.
    """
    known, unseen = space(photos.train.pixels, "training photos"), space(photos.held_out.pixels, "held-out photos")
    found, pairs = {}, []
    for label, (name, samples) in enumerate(images.items()):
        own = np.flatnonzero(photos.train.labels == label)
        places, distances = nearest(space(samples, f"samples of {name}"), known[own])
        _, usual = nearest(unseen[photos.held_out.labels == label], known[own])
        found[name] = memorisation(distances, usual)
        for sample in np.resize(np.argsort(distances), _PAIRS):
            pairs += [samples[sample], photos.train.pixels[own[places[sample]]]]
    return found, grid(np.stack(pairs), 2 * _PAIRS)


def memorisation_table(found: dict[str, Memorisation], space: FeatureSpace) -> Table:
    table = Table(
        *("class", "samples", "held out", "closer to training", "p", "closer than all held out (95 %)", ""),
        title=f"learnt by heart? distance to the nearest training photo\n{space.name}",
        caption="closer to training: chance that a sample lies closer to a training photo than an unseen photo does;\n"
        "0.5 like new photos, 1 copies, less: further off than photos are",
    )
    for name, row in found.items():
        low, high = row.closest_interval
        table.add_row(
            *(name, str(row.samples), str(row.held_out), f"{row.closer_share:.2f}", f"{row.p_value:.2g}"),
            f"{row.closest_share:.2f} ({low:.2f} to {high:.2f})",
            row.verdict,
        )
    return table


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
