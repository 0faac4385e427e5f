"""The print: a fixed layout (mark, part number, lot, date, data matrix) with random contents, as ink coverage 0..1."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, HEIGHT_PX = 372, 206
"""Size of the label box."""

PART_NUMBERS = ("09G 325 429 A", "02E 305 051 C", "0BH 325 183 B", "0AM 325 433 E", "0B5 325 330 A", "0CK 301 515 D")

Ink = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Print:
    ink: Ink
    """(HEIGHT_PX, WIDTH_PX), coverage 0..1."""
    text: tuple[str, ...]
    font: str


def draw_print(rng: np.random.Generator, fonts: tuple[str, ...]) -> Print:
    """A complete print without faults, with random contents."""
    font = str(rng.choice(fonts))
    text = (
        str(rng.choice(PART_NUMBERS)),
        f"LOT {rng.integers(1000, 9999)}-{rng.integers(10, 99)}",
        f"{rng.integers(2024, 2028)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
        f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d} S{rng.integers(1, 4)}",
    )
    ink = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    _put(ink, _mark(), 0, 4)
    _put(ink, _line(text[0], font, 40, WIDTH_PX - 62), 62, 6)
    _put(ink, _line(text[1], font, 30, 240), 0, 70)
    _put(ink, _line(text[2], font, 30, 240), 0, 118)
    _put(ink, _line(text[3], font, 30, 240), 0, 166)
    _put(ink, _data_matrix(rng), WIDTH_PX - 112, 84)
    return Print(ink, text, font)


def _put(ink: Ink, stamp: Ink, left: int, top: int) -> None:
    height = min(stamp.shape[0], ink.shape[0] - top)
    width = min(stamp.shape[1], ink.shape[1] - left)
    target = ink[top : top + height, left : left + width]
    np.maximum(target, stamp[:height, :width], out=target)


def _line(text: str, font: str, height_px: int, width_px: int) -> Ink:
    """One line of text, `height_px` high, squeezed if it would be wider than `width_px`."""
    line = _FACES[font](text, height_px)
    if line.shape[1] > width_px:
        line = cv2.resize(line, (width_px, line.shape[0]), interpolation=cv2.INTER_AREA)
    return line


def _dots(text: str, height_px: int) -> Ink:
    """Continuous ink-jet print: each pixel of a bitmap font is one drop, which touches its neighbours."""
    return _bitmap(text, height_px, 0.56)


def _small_dots(text: str, height_px: int) -> Ink:
    """A finer nozzle: the drops do not touch."""
    return _bitmap(text, height_px, 0.43)


def _bitmap(text: str, height_px: int, drop_radius: float) -> Ink:
    bitmap = _bitmap_font().getmask(text)
    pixels = np.asarray(bitmap, np.uint8).reshape(bitmap.size[::-1]) > 0
    rows = np.flatnonzero(pixels.any(axis=1))
    pixels = pixels[rows[0] : rows[-1] + 1]
    pitch = max(3, round(height_px / pixels.shape[0]))
    return np.kron(pixels.astype(np.float32), _drop(pitch, drop_radius))


@functools.cache
def _drop(pitch: int, radius: float) -> Ink:
    scale = 8
    canvas = np.zeros((pitch * scale, pitch * scale), np.uint8)
    centre = pitch * scale // 2
    cv2.circle(canvas, (centre, centre), round(radius * pitch * scale), 255, -1)
    return _ink(cv2.resize(canvas, (pitch, pitch), interpolation=cv2.INTER_AREA))


def _sans(text: str, height_px: int) -> Ink:
    font = _sans_font(round(height_px * 1.3))
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (round(right - left) + 2, round(bottom - top) + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, font=font, fill=255, stroke_width=1)
    return _ink(np.asarray(image))


def _stroke(text: str, height_px: int) -> Ink:
    """Another sans serif font, bolder and wider: the one that OpenCV draws with."""
    face, thickness = cv2.FONT_HERSHEY_DUPLEX, 4
    scale = cv2.getFontScaleFromHeight(face, height_px - thickness, thickness)
    (width, height), below = cv2.getTextSize(text, face, scale, thickness)
    canvas = np.zeros((height + below + thickness, width + thickness), np.uint8)
    cv2.putText(canvas, text, (thickness // 2, height + thickness // 2), face, scale, 255, thickness, cv2.LINE_AA)
    rows = np.flatnonzero(canvas.any(axis=1))
    return _ink(canvas[rows[0] : rows[-1] + 1])


_FACES = {"dots": _dots, "small_dots": _small_dots, "sans": _sans, "stroke": _stroke}


@functools.cache
def _bitmap_font() -> ImageFont.ImageFont:
    return ImageFont.load_default_imagefont()


@functools.cache
def _sans_font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@functools.cache
def _mark() -> Ink:
    """The maker's mark: a ring with an arrow that points up, so that an upside-down label can be recognised."""
    canvas = np.zeros((48, 50), np.uint8)
    cv2.circle(canvas, (24, 24), 21, 255, 4, cv2.LINE_AA)
    cv2.fillPoly(canvas, [np.array([[24, 9], [35, 27], [13, 27]], np.int32)], 255, cv2.LINE_AA)
    cv2.rectangle(canvas, (20, 27), (28, 37), 255, -1)
    return _ink(canvas)


def _ink(coverage: NDArray[np.uint8]) -> Ink:
    return np.divide(coverage, 255, dtype=np.float32)


def _data_matrix(rng: np.random.Generator, modules: int = 14, pitch: int = 8) -> Ink:
    """Looks like a Data Matrix (ISO/IEC 16022): solid left and bottom edge, clocked top and right, random inside."""
    cells = rng.random((modules, modules)) < 0.5
    cells[:, 0] = cells[-1, :] = True
    cells[0, :] = np.arange(modules) % 2 == 0
    cells[:, -1] = np.arange(modules) % 2 == 1
    return cells.repeat(pitch, axis=0).repeat(pitch, axis=1).astype(np.float32)
