"""Rendered lines of text as the reader gets them: cut out of a photo of a print, with all that goes wrong in both."""

import functools
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.text.crop import HEIGHT, WIDTH_STEP
from inspectd_tools.text.faces import Drawn, Face, Ink

Grey = NDArray[np.float32]
Range = tuple[float, float]

_TEXTURE_PX = (200, 1800)
_TEXTURES = 12
_NARROWEST: Final = 11
"""Columns of the crop per character, on average: narrower ones can't be read with certainty."""
_TOO_HIGH: Final = 0.3
"""Share of the boxes that have more room above or below than the text needs."""
ERASED: Final = (0.3, 0.85)
"""Share of a damaged character that is missing."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The ranges of all random values, in px of the photo where nothing else is said."""

    capital_px: Range = (20, 44)
    """Height of the capitals."""
    margin: Range = (0.12, 0.4)
    """Between text and edge of the box, above and below, as a share of the height of the capitals, and at least 2 px more than the shift."""
    stretch: Range = (0.62, 1.25)
    """Of the width."""
    shift_px: float = 3
    angle_deg: float = 1
    """The registration is off by at most these."""
    wave_px: float = 1.2
    """A baseline that is not straight."""
    ink: Range = (25, 105)
    paper: Range = (140, 235)
    """Grey values."""
    density: Range = (0.75, 1.0)
    """Share of the light between paper and ink that the print takes away."""
    texture: Range = (0, 11)
    """Contrast of the fabric in grey values."""
    slope: float = 0.15
    """Of the light along the line."""
    blur: Range = (0.012, 0.045)
    motion: Range = (0, 0.11)
    """Of the lens and of the belt, as a share of the height of the capitals."""
    noise: Range = (0.8, 4)
    """In grey values."""
    faults: float = 0.12
    """Probability of each harmless fault of the printer: a nozzle out, double strike, low ink, specks."""
    texture_seed: int = 100


TRAINING: Final = Conditions()
CALIBRATION: Final = Conditions(texture_seed=500)
UNSEEN: Final = Conditions(texture_seed=900)
"""The same ranges with other fabrics. Use them with other seeds, too."""


@dataclass(frozen=True, slots=True)
class Line:
    crop: NDArray[np.uint8]
    """(HEIGHT, width)"""
    text: str
    """What fits on it; may be shorter than what was asked for."""
    damaged: int | None
    """Which character is damaged; None if none is."""


def render(
    text: str,
    face: Face,
    width: int,
    rng: np.random.Generator,
    conditions: Conditions = TRAINING,
    *,
    damage: bool = False,
    fit: bool = False,
) -> Line:
    """A crop of `width` columns with as much of the text as has room.

    `damage`: a third or more of one character is missing. `fit`: the box is as wide as the text, and `width` counts no more.
    """
    capital = round(rng.uniform(*conditions.capital_px))
    stretch = rng.uniform(*conditions.stretch)
    least = conditions.shift_px + 2
    above, below = (max(rng.uniform(*conditions.margin) * capital, least) for _ in range(2))
    if rng.random() < _TOO_HIGH:
        above, below = rng.permutation([above + rng.uniform(0, 0.5) * capital, below])
    side = least + capital * rng.uniform(0, 0.7)
    height = face.height(capital) + above + below
    ends = face.edges(text, capital)
    stretch = max(stretch, _NARROWEST * len(text) * height / HEIGHT / ends[-1])
    ends = ends * stretch
    if fit:
        width = max(math.ceil((ends[-1] + 2 * side) * HEIGHT / height / WIDTH_STEP), 2) * WIDTH_STEP
    box = width * height / HEIGHT
    if not fit and ends[-1] > box - 2 * side:
        count = max(int(np.searchsorted(ends, box - 2 * side, side="right")) - 1, 1)
        text = text[:count].rstrip()
        ends = ends[: len(text) + 1]
    drawn = face.draw(text, capital)
    damaged = _damaged(drawn, text, rng) if damage else None
    ink = _printed(drawn.ink, rng, conditions, capital)
    left = side if fit else rng.uniform(min(side, max(box - ends[-1], 0) / 2), max(box - ends[-1] - side, side / 2))
    photo = _photo(ink, (round(box), round(height)), (left, above), capital, stretch, rng, conditions)
    smaller = cv2.INTER_AREA if height > HEIGHT else cv2.INTER_LINEAR
    return Line(np.asarray(cv2.resize(photo, (width, HEIGHT), interpolation=smaller), np.uint8), text, damaged)


def blank(width: int, rng: np.random.Generator, conditions: Conditions = TRAINING) -> Line:
    """A crop without text."""
    size = (width, HEIGHT)
    return Line(_photo(np.zeros((2, 2), np.float32), size, (0, 0), HEIGHT, 1, rng, conditions), "", None)


def _damaged(drawn: Drawn, text: str, rng: np.random.Generator) -> int:
    """Erase a part of one character, in place."""
    place = int(rng.choice([place for place, character in enumerate(text) if character.isalnum()] or [0]))
    left, right = (int(edge) for edge in drawn.edges[place : place + 2])
    cell = drawn.ink[:, max(left, 0) : max(right, left + 1)]
    before = cell.sum()
    rows = np.flatnonzero((cell > 0.3).any(axis=1))
    if not len(rows):
        return place
    erase_part(cell, rng.uniform(*ERASED), int(rng.integers(5)), rng)
    if cell.sum() > 0.8 * before:
        cell[rows.min() : round((rows.min() + rows.max()) / 2) + 1] = 0
    return place


def erase_part(cell: Ink, share: float, way: int, rng: np.random.Generator) -> None:
    """Set a part of a character to 0, in place. `way`: from above, below, left, right, or a hole."""
    rows, columns = np.nonzero(cell > 0.3)
    if not len(rows):
        return
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    high, wide = round(share * (bottom - top)), round(share * (right - left))
    if way == 0:
        cell[top : top + high] = 0
    elif way == 1:
        cell[bottom - high : bottom] = 0
    elif way == 2:
        cell[:, left : left + wide] = 0
    elif way == 3:
        cell[:, right - wide : right] = 0
    else:
        centre = (int(rng.integers(left, right)), int(rng.integers(top, bottom)))
        cv2.circle(cell, centre, max(round(share * (bottom - top) / 1.6), 2), 0, -1)


def _printed(ink: Ink, rng: np.random.Generator, conditions: Conditions, capital: int) -> Ink:
    """With harmless faults of the printer."""
    height, width = ink.shape
    if rng.random() < conditions.faults:  # a nozzle that is out, or weak
        rows = max(1, round(capital / 24))
        top = int(rng.integers(0, max(height - rows, 1)))
        ink[top : top + rows] *= rng.uniform(0, 0.5)
    if rng.random() < conditions.faults:  # printed twice, a little apart
        shift = max(1, round(rng.uniform(0.03, 0.08) * capital))
        ink[:, shift:] = np.maximum(ink[:, shift:], rng.uniform(0.3, 0.7) * ink[:, :-shift])
    if rng.random() < conditions.faults:  # low ink
        field = cv2.resize(
            rng.random((2, max(width // 40, 2)), np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        ink *= np.clip(0.6 + 0.5 * field, 0.45, 1)
    if rng.random() < conditions.faults:  # drops or dots that are missing
        side = max(2, round(capital / 10))
        lost = rng.random((height // side + 1, width // side + 1), np.float32) < rng.uniform(0.01, 0.04)
        ink *= 1 - np.kron(lost, np.ones((side, side), np.float32))[:height, :width] * np.float32(rng.uniform(0.5, 1))
    if rng.random() < conditions.faults:  # thicker or thinner strokes
        kernel = np.ones((2, 2), np.uint8)
        ink = cv2.dilate(ink, kernel) if rng.random() < 0.6 else 0.5 * ink + 0.5 * cv2.erode(ink, kernel)
    return ink


def _photo(
    ink: Ink,
    size: tuple[int, int],
    corner: tuple[float, float],
    capital: int,
    stretch: float,
    rng: np.random.Generator,
    conditions: Conditions,
) -> NDArray[np.uint8]:
    width, height = size
    angle = np.deg2rad(rng.uniform(-1, 1) * conditions.angle_deg)
    shift = rng.uniform(-1, 1, 2) * conditions.shift_px
    cos, sin, middle = np.cos(angle), np.sin(angle), width / 2
    # turned about the middle of the print, whose error the line has, not about the line's own corner
    across = np.array([[cos, -sin], [sin, cos]])
    place = across @ np.array([corner[0] - middle, corner[1] - height / 2]) + np.array([middle, height / 2]) + shift
    matrix = np.column_stack([across @ np.diag([stretch, 1.0]), place])
    placed = cv2.warpAffine(_waved(ink, rng, conditions), matrix, size, flags=cv2.INTER_LINEAR)
    paper, dark = rng.uniform(*conditions.paper), rng.uniform(*conditions.ink)
    bare = paper + rng.uniform(*conditions.texture) * _fabric(size, rng, conditions.texture_seed)
    if rng.random() < conditions.faults:
        _specks(placed, rng)
    grey = bare - (rng.uniform(*conditions.density) * (paper - min(dark, paper - 70))) * placed
    grey *= 1 + rng.uniform(-1, 1) * conditions.slope * np.linspace(-1, 1, width, dtype=np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), capital * rng.uniform(*conditions.blur))
    length = capital * rng.uniform(*conditions.motion)
    if length > 1:
        half = int(np.ceil(length / 2))
        kernel = np.clip(length / 2 - np.abs(np.arange(-half, half + 1)) + 0.5, 0, 1).astype(np.float32)
        grey = cv2.filter2D(grey, -1, (kernel / kernel.sum())[None])
    grey += rng.uniform(*conditions.noise) * _window(_noise(), size, rng)
    return np.clip(grey, 0, 255).astype(np.uint8)


def _waved(ink: Ink, rng: np.random.Generator, conditions: Conditions) -> Ink:
    if rng.random() > 0.3:
        return ink
    height, width = ink.shape
    x = np.arange(width, dtype=np.float32)
    wave = rng.uniform(0, conditions.wave_px) * np.sin(x / rng.uniform(15, 80) + rng.uniform(0, 6))
    y = np.arange(height, dtype=np.float32)[:, None] + wave.astype(np.float32)
    return cv2.remap(ink, np.broadcast_to(x, y.shape).copy(), y, cv2.INTER_LINEAR)


def _specks(placed: Ink, rng: np.random.Generator) -> None:
    """Small drops beside the characters, or on them."""
    for _ in range(int(rng.integers(1, 4))):
        centre = (int(rng.integers(placed.shape[1])), int(rng.integers(placed.shape[0])))
        cv2.circle(placed, centre, 1, float(rng.uniform(0.2, 0.6)), -1)


def _fabric(size: tuple[int, int], rng: np.random.Generator, seed: int) -> Grey:
    return _window(_fabrics(seed)[int(rng.integers(_TEXTURES))], size, rng)


def _window(texture: Grey, size: tuple[int, int], rng: np.random.Generator) -> Grey:
    """A random part, randomly mirrored."""
    width, height = size
    y, x = (int(rng.integers(most - length + 1)) for most, length in zip(texture.shape, (height, width), strict=True))
    return texture[y : y + height, x : x + width][:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]


@functools.cache
def _noise() -> Grey:
    """New noise for each line would take as long as the rest of the line."""
    return np.random.default_rng(1).standard_normal((600, 1900), np.float32)


@functools.cache
def _fabrics(seed: int) -> list[Grey]:
    return [_weave(np.random.default_rng(seed + number)) for number in range(_TEXTURES)]


def _weave(rng: np.random.Generator) -> Grey:
    """Threads over and under each other, slightly irregular, with clouds and fibres; about -1..1."""
    y, x = np.mgrid[: _TEXTURE_PX[0], : _TEXTURE_PX[1]].astype(np.float32)
    fine, coarse = (rng.standard_normal(_TEXTURE_PX).astype(np.float32) for _ in range(2))
    wobble = 10 * cv2.GaussianBlur(coarse, (0, 0), 9)
    period = rng.uniform(3, 8)
    threads = np.sin(2 * np.pi * (x + wobble) / period) + np.sin(2 * np.pi * (y - wobble) / period)
    fibres = cv2.GaussianBlur(fine, (0, 0), sigmaX=rng.uniform(0.5, 3), sigmaY=rng.uniform(0.5, 1.5))
    clouds = cv2.GaussianBlur(coarse, (0, 0), 14)
    return rng.uniform(0, 0.5) * threads + 0.4 * fibres / fibres.std() + 0.4 * clouds / clouds.std()
