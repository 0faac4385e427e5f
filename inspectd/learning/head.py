"""The DUQ head in closed form, without gradients: van Amersfoort et al., ICML 2020 (arXiv:2003.02037).

The score of class c is K_c = exp(-mean((W_c f - e_c)^2) / (2 sigma^2)) of the features f.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspectd.learning.ridge import Ridge

_AVERAGE_CERTAINTY = 0.9
_SHRINKAGE = 1e-3
"""How far the covariance of a class is moved towards a ball, so that it can be inverted where it is 0."""

Features = NDArray[Any]
"""(N, features) of floating point."""
Labels = NDArray[np.integer]
"""(N,): index of the class."""


@dataclass(frozen=True, slots=True)
class Head:
    """One linear map and one centroid per class."""

    weight: NDArray[np.floating]
    """(classes, rows, features)"""
    centroids: NDArray[np.floating]
    """(classes, rows)"""
    length_scale: float

    def scores(self, features: Features) -> NDArray[np.float32]:
        """(N, features) -> (N, classes): K_c."""
        scores: NDArray[np.float32] = np.exp(self.log_scores(features)).astype(np.float32)
        return scores

    def log_scores(self, features: Features) -> NDArray[np.floating]:
        """(N, features) -> (N, classes): log K_c, which is exact where K_c underflows to 0."""
        classes, rows, size = self.weight.shape
        embedded = (features @ self.weight.reshape(-1, size).T).reshape(-1, classes, rows)
        log_scores: NDArray[np.floating] = np.square(embedded - self.centroids).mean(axis=2)
        return log_scores / (-2 * self.length_scale**2)


def fit_means(head: Head, features: Features, labels: Labels) -> Head:
    """Each centroid at the mean of the embedded features of its class; the maps stay. Every class needs a photo."""
    means = _means(features.astype(np.float64), labels, len(head.weight))
    return Head(head.weight, np.einsum("kmf,kf->km", head.weight, means), head.length_scale)


def fit_covariance(features: Features, labels: Labels, classes: int, rows: int, length_scale: float) -> Head:
    """Maps and centroids such that K_c falls with the Mahalanobis distance to class c. Every class needs a photo.

    e_c is the mean of the class. Half of W_c whitens the class within the leading principal components of all features.
    The other half measures what these leave out, along random directions. Gradient descent keeps in W_c only what
    distinguishes the classes, but an unknown label differs in the rest too (Lee et al., "A simple unified framework for
    detecting out-of-distribution samples", 2018); with few images, it differs most in directions that none of them shows.
    The form of the kernel and its cost stay the same. An average image of a class gets K_c = 0.9.

    The covariance of a class is moved towards the one within all classes; the fewer images the class has, the further
    (Friedman, "Regularized discriminant analysis", 1989). That one is moved towards a ball by the oracle approximating
    shrinkage.
    """
    features = features.astype(np.float64)
    feature_size = features.shape[1]
    means = _means(features, labels, classes)
    offsets = features - means[labels]
    components = _principal_components(features, rows if rows >= feature_size else max(1, rows // 2))
    rest, rest_variance = _left_out(components, offsets, rows - components.shape[1])
    reduced = offsets @ components
    within = shrunk_covariance(reduced)
    rank = components.shape[1]
    # K_c uses the mean over `rows`, even if the features have fewer directions
    used = rank + rest.shape[1]
    scale = length_scale * math.sqrt(-2 * math.log(_AVERAGE_CERTAINTY) * rows / used)
    weight = np.zeros((classes, rows, feature_size))
    for place in range(classes):
        group = reduced[labels == place]
        own = group.T @ group / max(1, len(group) - 1)
        whitening = _inverse_square_root(own + (within - own) * (rank / (rank + len(group))))
        weight[place, :used] = scale * np.concatenate(
            [whitening @ components.T, rest.T / np.sqrt(rest_variance)[:, None]]
        )
    return Head(weight, np.einsum("kmf,kf->km", weight, means), length_scale)


def with_discriminant(head: Head, ridge: Ridge, share: float) -> Head:
    """Let log K_c fall by share * (1 - r_c)^2, too, where r_c is what the ridge regression predicts for membership in class c.

    The last row of each map, one random direction of many, becomes this regression. Covariances use each class alone;
    the regression finds what distinguishes it from the others.
    """
    scale = head.length_scale * math.sqrt(2 * head.weight.shape[1] * share)
    weight, centroids = head.weight.copy(), head.centroids.copy()
    weight[:, -1], centroids[:, -1] = scale * ridge.weight, scale * (1 - ridge.offset)
    return Head(weight, centroids, head.length_scale)


def shrunk_covariance(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, d) -> (d, d): covariance of centred samples (Chen et al., "Shrinkage algorithms for MMSE covariance estimation", 2010)."""
    n, d = offsets.shape
    covariance: NDArray[np.float64] = offsets.T @ offsets / n
    trace, squares = float(covariance.trace()), float(np.square(covariance).sum())
    spread = (n + 1 - 2 / d) * (squares - trace**2 / d)
    share = min(1.0, ((1 - 2 / d) * squares + trace**2) / spread) if spread > 0 else 1.0
    shrunk: NDArray[np.float64] = covariance * (1 - share) + np.eye(d) * (trace / d * share)
    return shrunk


def _means(features: NDArray[np.float64], labels: Labels, classes: int) -> NDArray[np.float64]:
    return np.stack([features[labels == place].mean(axis=0) for place in range(classes)])


def _principal_components(features: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(N, features) -> (features, at most count), orthonormal; fewer if the images span fewer directions."""
    centred = features - features.mean(axis=0)
    if len(features) <= features.shape[1]:
        _, values, directions = np.linalg.svd(centred, full_matrices=False)
    else:  # the same, but its cost does not grow with the number of images
        squares, directions = np.linalg.eigh(centred.T @ centred)
        values, directions = np.sqrt(np.maximum(squares[::-1], 0)), directions.T[::-1]
    spanned = int((values > values[0] * 1e-6).sum())
    return directions[: max(1, min(count, spanned))].T


def _left_out(
    components: NDArray[np.float64], offsets: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(features, at most count) random directions, orthonormal to each other and to `components`, and the variance along each.

    `offsets`: (N, features) of the images from their class means. A few images have no variance there, so it is taken from
    the shrunk covariance.
    """
    feature_size, rank = components.shape
    count = min(count, feature_size - rank)
    random = np.random.default_rng(0).standard_normal((feature_size, count))
    directions = np.linalg.qr(np.concatenate([components, random], axis=1)).Q[:, rank:]
    return directions, (directions * (shrunk_covariance(offsets) @ directions)).sum(axis=0)


def _inverse_square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors / np.sqrt(np.maximum(values, 0) + _SHRINKAGE * values.mean())) @ vectors.T
    return root
