"""Outlines of faults, and how much of each pixel they cover."""

import cv2
import numpy as np
from numpy.typing import NDArray

Share = NDArray[np.float32]
"""(h, w) 0..1: how much of a pixel is covered."""
Points = NDArray[np.float64]
"""(N, 2) x, y in px."""

_FINE = 4
"""Drawn so many times as large: OpenCV's own smooth edges make thin lines too wide."""
_FRACTION_BITS = 4


def square(centre: Points, side: float, rng: np.random.Generator) -> Points:
    return centre + side / 2 * np.sqrt(2) * circle(4, rng.uniform(0, np.pi / 2))


def blot(centre: Points, across: float, rng: np.random.Generator) -> Points:
    bumps = np.convolve(rng.standard_normal(28), np.ones(5) / 5, "valid")
    return centre + across / 2 * (1 + 0.15 * bumps)[:, None] * circle(24, 0)


def circle(count: int, start: float) -> Points:
    """(count, 2) points on the unit circle."""
    angles = start + np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def filled(corners: Points, shape: tuple[int, ...]) -> Share:
    """(h, w) of the `shape`: the share of each pixel that is inside the polygon."""
    mask = np.zeros(shape, np.float32)
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, shape[1::-1])
    if left < right and top < bottom:
        fine = np.zeros(((bottom - top) * _FINE, (right - left) * _FINE), np.uint8)
        scaled = (corners - (left, top) + 0.5) * _FINE - 0.5
        cv2.fillPoly(fine, [np.round(scaled * 2**_FRACTION_BITS).astype(np.int32)], 255, shift=_FRACTION_BITS)
        small = cv2.resize(fine, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_AREA)
        mask[top:bottom, left:right] = small.astype(np.float32) / np.float32(255)
    return mask


def line(centre: Points, width: float, length: float, angle: float, shape: tuple[int, ...]) -> Share:
    """(h, w) of the `shape`: the share of each pixel that a line covers. `angle`: radians, clockwise from the x axis."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    covered: Share = (_covered(across, width) * _covered(along, length)).astype(np.float32)
    return covered


def _covered(place: NDArray[np.floating], width: float) -> NDArray[np.floating]:
    """What a bar of this width around 0 covers of a pixel whose middle is at `place`."""
    return np.clip(np.minimum(width / 2, place + 0.5) - np.maximum(-width / 2, place - 0.5), 0, 1)
