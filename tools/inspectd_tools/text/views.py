"""What a camera or a label can do to a line of text besides what the reader was trained with. To find out what fails."""

from collections.abc import Callable, Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]
"""(h, w) grey."""
View = Callable[[Crop, np.random.Generator], Crop]


def _perspective(crop: Crop, rng: np.random.Generator) -> Crop:
    """One side of the line is 10 to 25 % lower than the other: the camera does not look at it squarely."""
    height, width = crop.shape
    inset = rng.uniform(0.05, 0.125) * height
    seen = np.array([[0, inset], [width, 0], [width, height], [0, height - inset]], np.float32)
    if rng.random() < 0.5:
        seen = np.array([[0, 0], [width, inset], [width, height - inset], [0, height]], np.float32)
    whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(whole, seen)
    return np.asarray(cv2.warpPerspective(crop, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _curved(crop: Crop, rng: np.random.Generator) -> Crop:
    """On a cylinder: the ends are up to 25 % narrower than the middle, and the line bends by 1 to 4 px."""
    height, width = crop.shape
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.arange(height, dtype=np.float64))
    half = rng.uniform(0.5, 0.72)  # radians that half the line goes around the cylinder
    along = np.arcsin(x * np.sin(half)) / half
    bend = rng.choice([-1, 1]) * rng.uniform(1, 4) * (x**2 - 0.5)
    return _mapped(crop, (along + 1) / 2 * (width - 1), y + bend)


def _glare(crop: Crop, rng: np.random.Generator) -> Crop:
    """A reflection as wide as two to five characters, up to 120 grey values brighter; what is over 255 is lost."""
    height, width = crop.shape
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    centre, size = rng.uniform([0, 0], [width, height]), rng.uniform([15, 8], [40, 20])
    spot = np.exp(-0.5 * (((x - centre[0]) / size[0]) ** 2 + ((y - centre[1]) / size[1]) ** 2))
    return _clipped(crop + rng.uniform(60, 120) * spot)


def _low_contrast(crop: Crop, rng: np.random.Generator) -> Crop:
    """A quarter to 40 % of the contrast, with a sensor's noise of 1.5 grey values."""
    mean = float(crop.mean())
    return _clipped(mean + rng.uniform(0.25, 0.4) * (crop - mean) + rng.normal(0, 1.5, crop.shape))


def _patterned(crop: Crop, rng: np.random.Generator) -> Crop:
    """A ground of crossing stripes, 15 to 30 grey values strong, with a period of 5 to 14 px."""
    x, y = np.meshgrid(np.arange(crop.shape[1]), np.arange(crop.shape[0]))
    turn, period = rng.uniform(0, np.pi), rng.uniform(5, 14)
    phases = 2 * np.pi * np.stack([x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)]) / period
    return _clipped(crop + rng.uniform(15, 30) * np.sin(phases).mean(axis=0))


def _mapped(crop: Crop, x: NDArray[np.float64], y: NDArray[np.float64]) -> Crop:
    moved = cv2.remap(
        crop, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def _clipped(grey: NDArray[np.float64]) -> Crop:
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


VIEWS: Final[Mapping[str, View]] = {
    "perspective": _perspective,
    "curved": _curved,
    "glare": _glare,
    "low_contrast": _low_contrast,
    "patterned": _patterned,
}
