"""Has the generator memorised its photos? Compare the distance to the nearest training photo, for samples and for held-out photos.

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
    """Probability that a sample is closer to a training photo than a held-out photo is: 0.5 like new photos, 1 copies."""
    p_value: float
    """One-sided Mann-Whitney test: probability of samples this close if they were new photos."""
    closest_share: float
    """Share of samples that are closer than every held-out photo."""
    closest_interval: tuple[float, float]
    """95 % interval of `closest_share`."""

    @property
    def verdict(self) -> Literal["copies", "new", "too few held out"]:
        """With too few held-out photos even the smallest possible p is not small, so copies cannot be detected."""
        if 1 / math.comb(self.samples + self.held_out, self.held_out) >= _SIGNIFICANT:
            return "too few held out"
        return "copies" if self.p_value < _SIGNIFICANT else "new"


def compare(
    photos: Photos, images: dict[str, NDArray[np.uint8]], space: FeatureSpace
) -> tuple[dict[str, Memorisation], NDArray[np.uint8]]:
    """Compare the images of every class with its photos; also a sheet, (h, w, 3) RGB.

    `images`: class -> (N, C, S, S), in the order of the labels. The sheet shows the images closest to a training photo, each
    with that photo on its right.
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
        title=f"memorised? distance to the nearest training photo\n{space.name}",
        caption="closer to training: probability that a sample is closer to a training photo than a held-out photo is;\n"
        "0.5: like new photos, 1: copies, below 0.5: farther away than new photos",
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
    """(n,) index of the nearest training photo, and (n,) distance to it."""
    distances = cdist(features, train)
    places = distances.argmin(1)
    return places, distances[np.arange(len(features)), places]


def memorisation(samples: NDArray[np.float64], held_out: NDArray[np.float64]) -> Memorisation:
    """From the distances of samples and of held-out photos to their nearest training photo, all of the same class."""
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
