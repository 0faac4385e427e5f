"""Faults drawn into crops of good photos, to train the detector with: cracks, scratches, blots, chips, pasted texture, stains.

These are not the faults that measure detectability (`synthetic.small_faults`): what trains must not test. The ideas are those
of CutPaste (Li et al. 2021), DRAEM (Zavrtanik et al. 2021) and NSA (Schlueter et al. 2022).
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.part import Image

Grey = NDArray[np.float32]
"""(h, w) 0..255."""
Share = NDArray[np.float32]
"""(h, w) 0..1."""
Points = NDArray[np.float64]
"""(n, 2) x, y."""

CROP_PX = 160
"""A fault is drawn into a crop of this size."""
_SURROUND_PX = 25
_LEAST_GREY = 4.0
_LEAST_SHARE = 0.08
"""What changes a pixel by less, in grey levels and as a share of its surround, is not a fault to learn."""
_FINE = 2
"""Shapes are drawn so many times as large, for smooth edges."""
_SHIFT_BITS = 4


def draw(crop: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    """One fault in a crop. `other`: a crop of another place, of the same size. Returns the new crop, and 1 where the fault is."""
    kind = _KINDS[rng.choice(len(_KINDS), p=_OFTEN)]
    surround = cv2.blur(crop, (_SURROUND_PX, _SURROUND_PX))
    changed, mask = kind(crop, surround, other, rng)
    changed = np.clip(changed, 0, 255).astype(np.float32)
    visible = np.abs(changed - crop) > np.maximum(_LEAST_GREY, _LEAST_SHARE * surround)
    near = cv2.dilate(visible.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return changed, ((mask > 0.3) & near).astype(np.float32)


def one_fault(photo: Image, rng: np.random.Generator) -> Image:
    """(h, w) uint8: the photo with one fault at a random place."""
    grey = photo.astype(np.float32)
    side = min(CROP_PX, *grey.shape)
    here, there = random_square(grey.shape, side, rng), random_square(grey.shape, side, rng)
    grey[here], _ = draw(grey[here].copy(), grey[there].copy(), rng)
    return (grey + 0.5).astype(np.uint8)


def random_square(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    top, left = (int(rng.integers(length - side + 1)) for length in shape)
    return slice(top, top + side), slice(left, left + side)


def _crack(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    mask = _line(crop.shape, _walk(crop.shape, rng.uniform(0.05, 0.5), rng), _log_uniform(rng, 0.8, 5), rng)
    return crop + mask * _gain(rng, dark=0.8) * surround, mask


def _scratch(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    mask = _line(crop.shape, _walk(crop.shape, rng.uniform(0, 0.05), rng), _log_uniform(rng, 0.7, 3), rng)
    return crop + mask * _gain(rng, dark=0.4) * surround, mask


def _blot(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    mask = _blob(crop.shape, _log_uniform(rng, 2.5, 18), rng)
    fill: Grey = surround * (1 + _gain(rng, dark=0.75)) + rng.uniform(0, 0.5) * (crop - surround)
    return crop + mask * (fill - crop), mask


def _chip(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    mask = _blob(crop.shape, _log_uniform(rng, 12, 40), rng)
    rough = np.clip(1 + 0.15 * noise(crop.shape, float(rng.choice((3, 6, 12))), rng), 0.3, 2).astype(np.float32)
    rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3))).astype(np.float32) * rng.uniform(-0.5, 0.5)
    return crop + mask * (surround * rough * rng.uniform(0.3, 1.1) - crop) + rim * surround, mask


def _pasted(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    mask = _blob(crop.shape, _log_uniform(rng, 5, 30), rng) if rng.random() < 0.6 else _cloud(crop.shape, rng)
    fill = np.rot90(other, int(rng.integers(1, 4)))
    if rng.random() < 0.6:  # as bright as what it covers
        fill = fill * surround / np.maximum(cv2.blur(fill, (_SURROUND_PX, _SURROUND_PX)), 4)
    return crop + mask * (fill - crop), mask


def _stain(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    mask = _cloud(crop.shape, rng)
    gain = rng.uniform(-0.6, -0.15) if rng.random() < 0.7 else rng.uniform(0.15, 0.6)
    return crop * (1 + mask * gain), mask


def _rubbed(crop: Grey, surround: Grey, other: Grey, rng: np.random.Generator) -> tuple[Grey, Share]:
    """The texture is gone."""
    mask = _blob(crop.shape, _log_uniform(rng, 8, 50), rng)
    smooth = cv2.GaussianBlur(crop, (0, 0), rng.uniform(2, 6)) * rng.uniform(0.6, 1.15)
    smooth += rng.standard_normal(crop.shape) * rng.uniform(1, 4)
    return crop + mask * (smooth - crop), mask


_Kind = Callable[[Grey, Grey, Grey, np.random.Generator], tuple[Grey, Share]]
_KINDS: tuple[_Kind, ...] = (_crack, _scratch, _blot, _chip, _pasted, _stain, _rubbed)
_OFTEN = (0.28, 0.14, 0.20, 0.08, 0.12, 0.10, 0.08)


def _gain(rng: np.random.Generator, dark: float) -> float:
    """Of the surround's brightness; negative with the probability `dark`."""
    return -rng.uniform(0.15, 0.8) if rng.random() < dark else rng.uniform(0.3, 1.5)


def _log_uniform(rng: np.random.Generator, least: float, most: float) -> float:
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def _walk(shape: tuple[int, ...], turn: float, rng: np.random.Generator) -> Points:
    """A path that turns by about `turn` radians at each step, with a few corners."""
    step_px = 4.0
    count = max(2, int(rng.uniform(20, 160) / step_px))
    turns = rng.standard_normal(count) * turn + (rng.random(count) < 0.05) * rng.standard_normal(count)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1) * step_px, axis=0)
    return points - points[rng.integers(count)] + rng.uniform((0, 0), shape[::-1])


def _line(shape: tuple[int, ...], points: Points, width_px: float, rng: np.random.Generator) -> Share:
    """Thinner towards both ends, of varying width."""
    widths = width_px * np.sqrt(np.sin(np.linspace(0.15, np.pi - 0.15, len(points))))
    widths *= np.exp(0.25 * rng.standard_normal(len(points))) * _FINE
    fine, corners = _fine(shape), _scaled(points)
    for start, end, width in zip(corners, corners[1:], widths.tolist(), strict=False):
        grey = int(255 * min(1, width))
        cv2.line(fine, start.tolist(), end.tolist(), grey, max(1, round(width)), cv2.LINE_AA, _SHIFT_BITS)
    mask = _soft(_coarse(fine, shape), rng)
    return mask / max(float(mask.max()), 0.3)


def _blob(shape: tuple[int, ...], radius_px: float, rng: np.random.Generator) -> Share:
    corners = 24
    rough = np.convolve(np.tile(rng.standard_normal(corners), 3), np.ones(5) / 5, "same")[corners : 2 * corners]
    radii = radius_px * (1 + rng.uniform(0.1, 0.7) * rough)
    longer = np.exp(rng.uniform(0, 0.5))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    points = np.stack([np.cos(angles) * radii * longer, np.sin(angles) * radii / longer], axis=1)
    turn = rng.uniform(0, np.pi)
    points @= np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    fine = _fine(shape)
    cv2.fillPoly(fine, [_scaled(points + rng.uniform((0, 0), shape[::-1]))], 255, cv2.LINE_AA, _SHIFT_BITS)
    return _soft(_coarse(fine, shape), rng)


def _cloud(shape: tuple[int, ...], rng: np.random.Generator) -> Share:
    """One island of smooth noise."""
    height = noise(shape, float(rng.choice((12, 24, 48))), rng) + 0.4 * noise(shape, 6, rng)
    mask = np.clip((height - np.quantile(height, rng.uniform(0.8, 0.97))) * rng.uniform(2, 8), 0, 1)
    _, islands = cv2.connectedComponents((mask > 0).astype(np.uint8))
    sizes = np.bincount(islands.ravel())[1:]
    island = 1 + rng.choice(len(sizes), p=sizes / sizes.sum())
    return _soft((mask * (islands == island)).astype(np.float32), rng)


def noise(shape: tuple[int, ...], cell_px: float, rng: np.random.Generator) -> Grey:
    """Mean 0, spread about 1."""
    small = rng.standard_normal([max(2, int(length / cell_px) + 2) for length in shape]).astype(np.float32)
    smooth: Grey = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return smooth


def _soft(mask: Share, rng: np.random.Generator) -> Share:
    sigma_px = float(rng.choice((0, 0.6, 0.9, 1.5)))
    soft: Share = cv2.GaussianBlur(mask, (0, 0), sigma_px) if sigma_px else mask
    return soft


def _fine(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)


def _coarse(fine: NDArray[np.uint8], shape: tuple[int, ...]) -> Share:
    coarse: Share = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    return coarse


def _scaled(points: Points) -> NDArray[np.int32]:
    return np.round((points + 0.5) * _FINE * 2**_SHIFT_BITS).astype(np.int32)
