"""What small faults are put into: the photo of a part, with or without a print on it.

Ink is what is darker than the surface around it, on the bright part (`compose.ink`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.guard.registration import NOWHERE, Pose
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image
from inspectd_tools.synthetic.compose.config import GroundConfig, InkConfig
from inspectd_tools.synthetic.compose.ink import grown, ink_mask, surface, textured

Grey = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, width, height in px."""

INK: Final = InkConfig(grey=(0, 255))
_GROUND = GroundConfig(classes=("good",))
_MARGIN_PX = 64
"""Surface around the print that is kept, for its texture and for what reaches over the edge of the print."""
_NEAR_PX = 36
"""Strokes that are nearer belong together."""
_SPECK = 0.05
"""Strokes that together have less than this share of the ink are dirt, not print."""
_EVEN = 0.28
"""The surface around a print differs by less than this share of its brightness, from 10 % to 90 % of its pixels."""
_DARK = 0.55
"""The darkest ink reflects at most this share of the light."""
_COVERED = 0.5
"""Ink covers at most this share of the rectangle around the print."""
_DOTS_PX = 3
"""Dots and strokes that are nearer are one character."""
_WIDEST = 1.4
"""What is wider as a multiple of its height is more than one character, or a dash."""
_CHARACTER = (0.1, 3.0)
"""Smallest and largest character, as multiples of the median one. A code or a logo is no character."""


@dataclass(frozen=True, slots=True)
class Print:
    """A photo (h, w) or (h, w, 3) and its print. `region`, `ink`, `characters`, `bare`: what `area` cuts out of the photo."""

    photo: Image
    area: tuple[slice, slice]
    region: Grey
    """255 on the rectangle around the print."""
    ink: Grey
    """255 on ink."""
    characters: tuple[Grey, ...]
    """255 on the ink of each group of connected strokes."""
    bare: Image
    """The surface without the print."""
    darkest: float
    """Share of the light that the darkest ink reflects."""
    part: Grey
    """(h, w) 255 on the bright part, without the print and its surroundings."""
    lies: Pose = NOWHERE
    """How the print lies against its usual place on the part."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A photo (h, w) or (h, w, 3) without a print. Faults can be everywhere on it."""

    photo: Image


Subject = Print | Surface


def find_print(photo: Image, lies: Pose = NOWHERE) -> Print:
    """(h, w) or (h, w, 3) uint8 -> its print. Raises ValueError if there is none."""
    grey = to_grey(photo)
    ink, part = _ink(grey)
    corners = cv2.boxPoints(cv2.minAreaRect(cv2.findNonZero(ink)))
    region = np.zeros_like(grey)
    cv2.fillPoly(region, [np.round(corners).astype(np.int32)], 255)
    left, top, width, height = cv2.boundingRect(region)
    area = (
        slice(max(0, top - _MARGIN_PX), top + height + _MARGIN_PX),
        slice(max(0, left - _MARGIN_PX), left + width + _MARGIN_PX),
    )
    around = cv2.bitwise_and(part, cv2.bitwise_not(grown(region, INK.stroke_px // 2)))
    ink, region, part = ink[area], region[area], part[area]
    bare = _without_ink(photo[area], grown(ink, INK.grow_px), part)
    inked = ink > 0
    darkest = float(np.percentile(grey[area][inked] / np.maximum(to_grey(bare)[inked], 1.0), 5))
    return Print(photo, area, region, ink, _characters(ink), bare, darkest, around, lies)


def print_box(photo: Image) -> Box | None:
    """The upright rectangle around what looks like a print: dark ink on a surface of even brightness. None if nothing does."""
    grey = to_grey(photo)
    try:
        ink, _ = _ink(grey)
    except ValueError:
        return None
    left, top, width, height = cv2.boundingRect(ink)
    box = slice(top, top + height), slice(left, left + width)
    bare = surface(grey, INK)[box].astype(np.float32)
    dark, usual, bright = np.percentile(bare, (10, 50, 90))
    ink_reflects = np.percentile((grey[box] / np.maximum(bare, 1))[ink[box] > 0], 5)
    if bright - dark > _EVEN * usual or ink_reflects > _DARK or (ink[box] > 0).mean() > _COVERED:
        return None
    return left, top, width, height


def show_print(boxes: Sequence[Box | None], sizes: Sequence[tuple[int, int]]) -> bool:
    """Do these photos of good parts show a print, that is, ink in about the same place on nearly all of them?

    `boxes`: of `print_box`; `sizes`: width and height of the photos.
    """
    found = [
        np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]]) / (size * 2)
        for box, size in zip(boxes, sizes, strict=True)
        if box is not None
    ]
    usual = np.median(found, axis=0) if found else np.zeros(4)
    return sum(_overlap(box, usual) > 0.5 for box in found) >= 0.8 * len(boxes)


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Area of the intersection over that of the union; boxes are left, top, right, bottom."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - both)


def _ink(grey: Grey) -> tuple[Grey, Grey]:
    """(h, w) -> 255 on the ink of the print, and on the bright part. Raises ValueError if there is no ink."""
    bare = surface(grey, INK)
    part = (bare > 0.6 * np.percentile(bare, 95)).astype(np.uint8) * 255
    edge = np.ones((INK.stroke_px // 2 * 2 + 1,) * 2, np.uint8)
    part = cv2.erode(part, edge, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    ink = ink_mask(grey, INK) & part
    if not ink.any():
        raise ValueError("no print found: nothing on the bright part is darker than the surface around it")
    _, islands = cv2.connectedComponents(cv2.dilate(ink, np.ones((_NEAR_PX, _NEAR_PX), np.uint8)))
    shares = np.bincount(islands[ink > 0]) / cv2.countNonZero(ink)
    ink[~np.isin(islands, np.flatnonzero(shares >= _SPECK))] = 0
    return ink, part


def _without_ink(photo: Image, ink: Grey, part: Grey) -> Image:
    if photo.ndim == 2:
        return textured(photo, ink, part, _GROUND)
    channels = [textured(np.ascontiguousarray(one), ink, part, _GROUND) for one in cv2.split(photo)]
    return np.stack(channels, axis=2)


def _characters(ink: Grey) -> tuple[Grey, ...]:
    _, groups, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(ink, np.ones((_DOTS_PX, _DOTS_PX), np.uint8)))
    groups[ink == 0] = 0
    areas = np.bincount(groups.ravel(), minlength=len(stats))[1:]
    wide, high = stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT]
    least, most = np.median(areas) * np.array(_CHARACTER)
    several = (wide > _WIDEST * high) & (high > np.median(high) / 2)
    chosen = np.flatnonzero((areas >= least) & (areas <= most) & ~several)
    return tuple((groups == 1 + place).astype(np.uint8) * 255 for place in chosen)
