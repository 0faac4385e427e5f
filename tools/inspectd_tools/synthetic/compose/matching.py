"""Find a template in a photo by normalised cross-correlation, from coarse to fine, over angle and scale.

Lewis, "Fast normalized cross-correlation" (1995). Light and contrast do not change the score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.compose.config import Box, Limits

Grey = NDArray[np.uint8]
Matrix = NDArray[np.float64]
_COARSE_SIDE_PX = 20
"""Shorter side of the template at the coarsest level; a smaller template matches everywhere."""
_KEPT = 5
_REFINED_CELLS = 3
"""How far from a coarser match the next finer match may be."""


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    photo: Grey
    """The whole photo, so that the corners of a turned template show what is really around it."""
    box: Box
    label: Box


@dataclass(frozen=True, slots=True)
class Found:
    template: Template
    score: float
    """Correlation, at most 1."""
    angle_deg: float
    """Clockwise on the image, against the template."""
    scale: float
    centre: tuple[float, float]

    @property
    def to_photo(self) -> Matrix:
        """(2, 3) from the coordinates of the template's photo to those of the photo searched."""
        turn = self.scale * _rotation(self.angle_deg)
        return np.column_stack([turn, np.array(self.centre) - turn @ _centre(self.template.box)])

    def corners(self, box: Box) -> NDArray[np.float32]:
        """(4, 2) of a box in the template's photo: top left, top right, bottom right, bottom left."""
        left, top, width, height = box
        right, bottom = left + width, top + height
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
        return cv2.transform(corners[None], self.to_photo)[0].astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Candidate:
    score: float
    template: Template
    angle_deg: float
    scale: float
    centre: tuple[float, float]


def find(
    photo: Grey, templates: Sequence[Template], angle_deg: Limits, scale: Limits, within_px: float | None = None
) -> Found:
    """The best match of all templates, whatever its score.

    `within_px`: largest distance from the position in the template's photo; None: anywhere.
    """
    matches = [_find_one(photo, template, angle_deg, scale, within_px) for template in templates]
    best = max(matches, key=lambda found: found.score)
    return Found(best.template, best.score, best.angle_deg, best.scale, best.centre)


def _find_one(photo: Grey, template: Template, angle_deg: Limits, scale: Limits, within_px: float | None) -> _Candidate:
    width, height = template.box[2:]
    coarse = 2 ** max(0, int(math.log2(min(width, height) / _COARSE_SIDE_PX))) if min(width, height) >= 20 else 1
    levels = [level for level in (coarse, coarse // 2, coarse // 4) if level]
    reach_px = math.hypot(width, height) / 2
    kept: list[_Candidate] = []
    for number, level in enumerate(levels):
        small, source = _shrunk(photo, level), _shrunk(template.photo, level)
        turn, stretch = math.degrees(level / reach_px), level / reach_px
        reach = _REFINED_CELLS
        if number == 0:
            start = None if within_px is None else tuple(_centre(template.box).tolist())
            reach = math.ceil((within_px or 0) / level)
            tried = [
                (angle, factor, start) for angle, factor in product(_steps(angle_deg, turn), _steps(scale, stretch))
            ]
        else:
            tried = [
                (angle, factor, before.centre)
                for before in kept
                for angle, factor in product(
                    _around(before.angle_deg, turn, angle_deg), _around(before.scale, stretch, scale)
                )
            ]
        matches = [_match(small, source, template, level, *trial, reach) for trial in tried]
        matches.sort(key=lambda match: -match.score)
        kept = _different(matches, 4 * level)[: 1 if number else _KEPT]
    return kept[0]


def _match(
    small: Grey,
    source: Grey,
    template: Template,
    level: int,
    angle_deg: float,
    scale: float,
    near: tuple[float, float] | None,
    reach: int,
) -> _Candidate:
    """The best match at one resolution; if `near` (px of the whole photo) is given, at most `reach` coarse pixels from it."""
    size = tuple(max(3, round(side * scale / level)) for side in template.box[2:])
    centre = _centre(template.box) / level
    turn = np.linalg.inv(scale * _rotation(angle_deg))
    middle = (np.array(size) - 1) / 2
    # pixel centres are at whole numbers, box edges half a pixel from them
    matrix = np.column_stack([turn, centre - 0.5 - turn @ middle])
    window = cv2.warpAffine(
        source, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    left, top, right, bottom = 0, 0, small.shape[1], small.shape[0]
    if near is not None:
        x, y = (value / level for value in near)
        left, right = _clipped(x - size[0] / 2 - reach, x + size[0] / 2 + reach, right, size[0])
        top, bottom = _clipped(y - size[1] / 2 - reach, y + size[1] / 2 + reach, bottom, size[1])
    area = small[top:bottom, left:right]
    if area.shape[0] < size[1] or area.shape[1] < size[0]:
        return _Candidate(-1.0, template, angle_deg, scale, near or (0.0, 0.0))
    response = cv2.matchTemplate(area, window, cv2.TM_CCOEFF_NORMED)
    response[~np.isfinite(response) | (response > 1.001)] = 0  # a constant area has no correlation
    _, score, _, (x, y) = cv2.minMaxLoc(response)
    x, y = x + _peak(response[y], x), y + _peak(response[:, x], y)
    place = (float(left + x + middle[0] + 0.5) * level, float(top + y + middle[1] + 0.5) * level)
    return _Candidate(float(min(score, 1.0)), template, angle_deg, scale, place)


def _different(matches: Sequence[_Candidate], apart_px: float) -> list[_Candidate]:
    """Best first, without matches that have almost the same position and angle as a better one."""
    kept: list[_Candidate] = []
    for match in matches:
        if all(
            match.angle_deg != other.angle_deg or math.dist(match.centre, other.centre) > apart_px for other in kept
        ):
            kept.append(match)
    return kept


def _steps(limits: Limits, step: float) -> list[float]:
    """Values from end to end, including the middle."""
    low, high = limits
    return np.linspace(low, high, 1 + 2 * math.ceil((high - low) / (2 * step) - 1e-9)).tolist()


def _around(middle: float, step: float, limits: Limits) -> list[float]:
    if limits[0] == limits[1]:
        return [middle]
    return sorted({float(min(max(middle + offset * step, limits[0]), limits[1])) for offset in (-1, 0, 1)})


def _clipped(low: float, high: float, end: int, size: int) -> tuple[int, int]:
    first = max(0, min(int(low), end - size))
    return first, min(end, max(math.ceil(high), first + size))


def _peak(values: NDArray[np.float32], place: int) -> float:
    """Offset of the peak from `place`, from a parabola through three values."""
    if not 0 < place < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[place - 1 : place + 2])
    curve = before - 2 * here + after
    return 0.0 if curve >= 0 else (before - after) / (2 * curve)


def _shrunk(image: Grey, level: int) -> Grey:
    if level == 1:
        return image
    size = (round(image.shape[1] / level), round(image.shape[0] / level))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _rotation(angle_deg: float) -> Matrix:
    angle = math.radians(angle_deg)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _centre(box: Box) -> NDArray[np.float64]:
    left, top, width, height = box
    return np.array([left + width / 2, top + height / 2])
