"""Belt, filter and black cylinder: the scene before printing."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render.style import Range, Style

WIDTH_PX, HEIGHT_PX = 640, 480
FILTER_LEFT, FILTER_TOP, FILTER_RIGHT, FILTER_BOTTOM = 62, 66, 578, 414
_MARGIN = 64
_TEXTURES = 6

Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """`image`: (480, 640) grey 0..255 before light and camera; `fabric`: coverage 0..1 by the filter, same shape;
    `weave`: the fabric's texture, about -1..1."""

    image: Grey
    fabric: Grey
    weave: Grey


def draw_scene(rng: np.random.Generator, style: Style, *, with_filter: bool = True) -> Scene:
    """A bare filter, upright, in the middle of the belt."""
    belt = _belt(rng, style)
    weave = _texture("weave", rng, style)
    if not with_filter:
        return Scene(belt, np.zeros_like(belt), weave)
    fabric = _filter_shape()
    body = rng.uniform(*style.filter_grey) + rng.uniform(*style.weave_contrast) * weave
    image = belt * (1 - _shadow(rng)) * (1 - fabric) + body * fabric
    image = image * (1 - 0.12 * _seam())
    _cylinder(image, rng, style)
    return Scene(image, fabric, weave)


def _belt(rng: np.random.Generator, style: Style) -> Grey:
    grey = rng.uniform(*style.belt_grey)
    ribs = np.sin(np.arange(HEIGHT_PX, dtype=np.float32) / rng.uniform(5, 8) + rng.uniform(0, 6))[:, None]
    return (grey + 4 * ribs + 5 * _texture("cloud", rng, style)).astype(np.float32)


def _cylinder(image: Grey, rng: np.random.Generator, style: Style) -> None:
    """The suction stub: a black cylinder at the left or right edge of the filter, with a highlight along it."""
    grey = rng.uniform(*style.cylinder_grey)
    width, height = int(rng.integers(38, 48)), int(rng.integers(120, 170))
    left = FILTER_LEFT - 26 if rng.random() < 0.5 else FILTER_RIGHT + 26 - width
    top = int(rng.integers(FILTER_TOP + 30, FILTER_BOTTOM - 30 - height))
    across = np.linspace(-1, 1, width, dtype=np.float32)
    profile = grey + 38 * np.exp(-((across + rng.uniform(-0.3, 0.3)) ** 2) / 0.05)
    shape = np.zeros((height, width), np.float32)
    cv2.rectangle(shape, (0, 6), (width, height - 7), 1.0, -1)
    cv2.ellipse(shape, (width // 2, 7), (width // 2, 7), 0, 0, 360, 1.0, -1)
    cv2.ellipse(shape, (width // 2, height - 8), (width // 2, 7), 0, 0, 360, 1.0, -1)
    target = image[top : top + height, left : left + width]
    target[:] = target * (1 - shape) + profile * shape


@functools.cache
def _filter_shape() -> Grey:
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    radius = 34
    cv2.rectangle(shape, (FILTER_LEFT + radius, FILTER_TOP), (FILTER_RIGHT - radius, FILTER_BOTTOM), 1.0, -1)
    cv2.rectangle(shape, (FILTER_LEFT, FILTER_TOP + radius), (FILTER_RIGHT, FILTER_BOTTOM - radius), 1.0, -1)
    for x in (FILTER_LEFT + radius, FILTER_RIGHT - radius):
        for y in (FILTER_TOP + radius, FILTER_BOTTOM - radius):
            cv2.circle(shape, (x, y), radius, 1.0, -1)
    return cv2.GaussianBlur(shape, (0, 0), 0.8)


@functools.cache
def _seam() -> Grey:
    """The welded edge of the filter."""
    shape = _filter_shape()
    inner = cv2.erode(shape, np.ones((11, 11), np.uint8))
    core = cv2.erode(shape, np.ones((17, 17), np.uint8))
    return cv2.GaussianBlur(inner - core, (0, 0), 1.0)


def _shadow(rng: np.random.Generator) -> Grey:
    shift = np.array([[1, 0, rng.uniform(-9, 9)], [0, 1, rng.uniform(3, 10)]], np.float32)
    return 0.45 * cv2.warpAffine(_soft_shape(), shift, (WIDTH_PX, HEIGHT_PX))


@functools.cache
def _soft_shape() -> Grey:
    return cv2.GaussianBlur(_filter_shape(), (0, 0), 7)


def _texture(kind: str, rng: np.random.Generator, style: Style) -> Grey:
    """A random window, randomly mirrored, of one of a few large textures."""
    texture = _textures(kind, style.texture_seed, style.weave_period_px)[int(rng.integers(_TEXTURES))]
    y, x = (int(rng.integers(0, 2 * _MARGIN)) for _ in range(2))
    window = texture[y : y + HEIGHT_PX, x : x + WIDTH_PX]
    return window[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]


@functools.cache
def _textures(kind: str, seed: int, period_px: Range) -> list[Grey]:
    size = (HEIGHT_PX + 2 * _MARGIN, WIDTH_PX + 2 * _MARGIN)
    generators = [np.random.default_rng(seed + index) for index in range(_TEXTURES)]
    return [_weave(rng, size, period_px) if kind == "weave" else _cloud(rng, size) for rng in generators]


def _weave(rng: np.random.Generator, size: tuple[int, int], period_px: Range) -> Grey:
    """Plain weave: threads over and under each other, slightly irregular, with clouds of uneven fibre density."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    wobble = 1.2 * cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), 9) * 9
    period = rng.uniform(*period_px)
    warp = np.sin(2 * np.pi * (x + wobble) / period)
    weft = np.sin(2 * np.pi * (y - wobble) / period)
    fibres = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), sigmaX=2.5, sigmaY=0.6)
    return (0.45 * (warp + weft) + 0.8 * fibres / fibres.std() * 0.5 + 0.5 * _cloud(rng, size)).astype(np.float32)


def _cloud(rng: np.random.Generator, size: tuple[int, int]) -> Grey:
    small = rng.standard_normal((size[0] // 24, size[1] // 24)).astype(np.float32)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 1), size[::-1], interpolation=cv2.INTER_CUBIC)
