"""Distances between two sets of feature vectors, each (n, d) float64."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from inspectd.binomial import interval

_RESAMPLES = 1000
_CONFIDENCE = 0.95
_NEIGHBOUR = 3

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float
    low: float
    high: float
    """95 % interval."""


def kid(first: Features, second: Features, seed: int = 0) -> Estimate:
    """Kernel inception distance (Binkowski et al., "Demystifying MMD GANs", 2018). It is unbiased: 0 means no difference for every n.

    Squared maximum mean discrepancy under (x y / d + 1)^3. The interval comes from a bootstrap, in which an image that is
    drawn twice does not count as a pair.
    """
    kernels = [_kernel(first, first), _kernel(second, second), _kernel(first, second)]
    rng = np.random.default_rng(seed)
    draws = [
        rng.multinomial(len(features), np.full(len(features), 1 / len(features)), _RESAMPLES).astype(np.float64)
        for features in (first, second)
    ]
    ones = [np.ones((1, len(features))) for features in (first, second)]
    low, high = np.quantile(_mmd(*kernels, *draws), [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Estimate(float(_mmd(*kernels, *ones)[0]), float(low), float(high))


def fid(first: Features, second: Features) -> float:
    """Frechet distance of the Gaussians with these means and covariances (Heusel et al., "GANs trained by a two time-scale", 2017).

    Small sets give too large values, so compare only values from the same number of images. With covariances A'A and B'B the
    trace of the root of their product is the sum of the singular values of AB', which needs no root and no full rank.
    """
    means = first.mean(0), second.mean(0)
    a, b = (
        cast(NDArray[np.float64], np.linalg.qr((features - mean) / np.sqrt(len(features) - 1), mode="r"))
        for features, mean in zip((first, second), means, strict=True)
    )
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    spread = np.square(a).sum() + np.square(b).sum()
    return float(np.square(means[0] - means[1]).sum() + spread - 2 * shared)


def precision(synthetic: Features, real: Features) -> Estimate:
    """Share of synthetic images inside the reach of a real image, which is the distance to its third nearest real image.

    Kynkaanniemi et al., "Improved precision and recall metric", 2019; recall is the same with the sets exchanged.
    """
    reach = np.sort(cdist(real, real), axis=1)[:, min(_NEIGHBOUR, len(real) - 1)]
    inside = int((cdist(synthetic, real) <= reach).any(1).sum())
    return Estimate(inside / len(synthetic), *interval(inside, len(synthetic), _CONFIDENCE))


def recall(synthetic: Features, real: Features) -> Estimate:
    """Share of real images inside the reach of a synthetic image."""
    return precision(real, synthetic)


def _kernel(first: Features, second: Features) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (first @ second.T / first.shape[1] + 1) ** 3
    return kernel


def _mmd(
    of_first: NDArray[np.float64],
    of_second: NDArray[np.float64],
    across: NDArray[np.float64],
    first_counts: NDArray[np.float64],
    second_counts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(draws,): kernels (n, n), (m, m), (n, m) and how often each image was drawn, (draws, n) and (draws, m)."""
    across_mean = ((first_counts @ across) * second_counts).sum(1) / (first_counts.sum(1) * second_counts.sum(1))
    return _mean_of_pairs(of_first, first_counts) + _mean_of_pairs(of_second, second_counts) - 2 * across_mean


def _mean_of_pairs(kernel: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over pairs of two different images."""
    apart = kernel - np.diag(np.diag(kernel))
    pairs = counts.sum(1) ** 2 - np.square(counts).sum(1)
    mean: NDArray[np.float64] = ((counts @ apart) * counts).sum(1) / pairs
    return mean
