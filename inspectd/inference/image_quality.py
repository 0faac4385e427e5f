"""How bright and how sharp an image is: what lamp, lens and camera do. It is shown to people, and no verdict depends on it."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_MOST_PX = 256
"""Of a larger image only the middle is measured, so that it always takes less than 0.1 ms."""


class Quality(NamedTuple):
    """None: not measured."""

    brightness: float | None = None
    """Mean grey level as a share of white, 0 to 1."""
    sharpness: float | None = None
    """Variance of the Laplacian divided by the variance of the grey levels. Blur makes it smaller; light does not change it."""


NOT_MEASURED = Quality()


def quality_of(batch: NDArray[np.uint8]) -> Quality:
    """(1, C, H, W) uint8, as the network gets it; of a colour image the green channel counts. Never raises.

    The variance of the Laplacian is from Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000. All of an
    image in one grey level has no sharpness.
    """
    try:
        image = batch[0, batch.shape[1] // 2]
        top, left = (max(0, side - _MOST_PX) // 2 for side in image.shape)
        image = np.ascontiguousarray(image[top : top + _MOST_PX, left : left + _MOST_PX])
        mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(image))
        _, edges = (float(value[0, 0]) for value in cv2.meanStdDev(cv2.Laplacian(image, cv2.CV_16S)))
        return Quality(_finite(mean / 255), _finite((edges / spread) ** 2) if spread else None)
    except Exception:  # whatever it is, it costs no verdict
        return NOT_MEASURED


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
