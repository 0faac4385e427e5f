"""How good images differ from one another, place by place, and how unlike them an image is.

At each place of a straightened image a small window of pixels is compared with the same window of good images: its
distance is measured along the ways in which good ones differ (Mahalanobis). Where text differs from label to label these
are the strokes of many characters, so another character is near and half a one is far; on bare fabric they are light
and weave, so a blot is far.

Places differ in how well the fitted images cover what is good there. Each image is therefore measured with a model that
has not seen it (leave one out, in closed form): a place where good images are far from one another counts less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.guard.judgement import Map
from inspectd.guard.registration import Grey

WINDOW = 6
"""Pixels along each side of a window."""
STRIDE = 4
"""Pixels from one place to the next."""
MIN_IMAGES = 5
_TEXTURE = 0.02
"""Share of the mean variance that every direction has at least: the part that few images can't show."""
_NEIGHBOURS = 3
_TRUST = 0.75
"""1: every place gets the same share of false alarms; 0: places are compared by distance alone."""


@dataclass(frozen=True, slots=True)
class Variation:
    """P places in rows x columns, windows of D = WINDOW * WINDOW pixels."""

    mean: NDArray[np.float32]
    """(P, D)"""
    whitening: NDArray[np.float32]
    """(P, D, D), lower triangles: turns a difference from the mean into a vector whose squared length is the score.
    Has no more digits than float16, so that the file, a quarter as large, holds exactly what was measured."""
    rows: int

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What `from_arrays` takes."""
        triangle = self.whitening[:, *np.tril_indices(WINDOW * WINDOW)]
        return {"mean": self.mean, "whitening": triangle.astype(np.float16), "rows": np.array(self.rows)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Variation":
        """Raises ValueError if the arrays do not fit together."""
        mean, triangle = arrays["mean"], arrays["whitening"]
        size = WINDOW * WINDOW
        if mean.shape != (len(mean), size) or triangle.shape != (len(mean), size * (size + 1) // 2):
            raise ValueError(
                f"mean {mean.shape} and whitening {triangle.shape} are not those of windows of {size} pixels"
            )
        whitening = np.zeros((len(mean), WINDOW * WINDOW, WINDOW * WINDOW), np.float32)
        whitening[:, *np.tril_indices(WINDOW * WINDOW)] = triangle
        return cls(mean.astype(np.float32), whitening, int(arrays["rows"]))

    def scores(self, image: Grey) -> Map:
        """(h, w) -> (h // STRIDE, w // STRIDE): 1 is about as far as good images are from one another."""
        difference = windows(image) - self.mean
        white = np.matmul(self.whitening, difference[:, :, None])[:, :, 0]
        scores: Map = np.einsum("pd,pd->p", white, white).reshape(self.rows, -1)
        return scores


def fit(images: Sequence[Grey]) -> Variation:
    """From straightened good images (h, w) of one size. Raises ValueError if there are too few."""
    if len(images) < MIN_IMAGES:
        raise ValueError(f"{len(images)} good images are too few: at least {MIN_IMAGES} are needed")
    count, rows = len(images), images[0].shape[0] // STRIDE
    samples = np.stack([windows(image) for image in images], axis=1)  # (P, N, D)
    mean = samples.mean(axis=1)
    samples -= mean[:, None]
    size = samples.shape[2]
    least = _TEXTURE * float(np.mean(samples**2)) * np.eye(size)
    whitening = np.empty((len(mean), size, size), np.float32)
    left_out = np.empty(len(mean), np.float32)
    for place, sample in enumerate(samples):
        covariance = sample.T @ sample / count + least
        whitening[place] = np.linalg.inv(np.linalg.cholesky(covariance))
        inside = ((sample @ whitening[place].T) ** 2).sum(axis=1) / count
        left_out[place] = np.max(_left_out(inside, count)) / size
    far = cv2.dilate(left_out.reshape(rows, -1), np.ones((_NEIGHBOURS, _NEIGHBOURS), np.uint8)) ** _TRUST
    scale = size * (far + 0.3 * np.median(far))
    whitening /= np.sqrt(scale).reshape(-1, 1, 1)
    return Variation(mean.astype(np.float32), whitening.astype(np.float16).astype(np.float32), rows)


def windows(image: Grey) -> NDArray[np.float32]:
    """(h, w) -> (h // STRIDE * w // STRIDE, WINDOW * WINDOW): the pixels around each place, row by row."""
    edge = (WINDOW - STRIDE) // 2
    padded = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    view = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW))[::STRIDE, ::STRIDE]
    flat: NDArray[np.float32] = view.reshape(-1, WINDOW * WINDOW)
    return flat


def _left_out(inside: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Squared distances (N,) / N of images from a model that has seen them -> from one that has not."""
    factor = count / (count - 1)
    outside: NDArray[np.float32] = inside / np.maximum(1 - inside * factor, 1e-3) * (factor**2 * (count - 1))
    return outside
