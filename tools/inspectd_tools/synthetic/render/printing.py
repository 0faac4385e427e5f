"""The print: a fixed layout (mark, part number, lot, date, time, Data Matrix) of any text, as ink coverage 0..1."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH_PX, HEIGHT_PX = 372, 206
"""Size of the label box."""
MODULE_PX = 6
"""Side of a module of the Data Matrix."""

Ink = NDArray[np.float32]


class Area(NamedTuple):
    """In px of the label box."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of an array (h, w)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True, slots=True)
class Print:
    ink: Ink
    """(HEIGHT_PX, WIDTH_PX), coverage 0..1."""
    lines: tuple[tuple[str, Area], ...]
    """Text and place of each line."""
    code: Area
    """Place of the Data Matrix."""
    font: str

    def characters(self) -> list[tuple[str, Area]]:
        """Each letter and digit with its place, line by line."""
        found = []
        for text, area in self.lines:
            ends = [0, *(_FACES[self.font](text[: end + 1], area.height).shape[1] for end in range(len(text)))]
            across = area.width / ends[-1]
            for place, character in enumerate(text):
                if character.isalnum():
                    left, right = (round(area.left + across * end) for end in ends[place : place + 2])
                    found.append((character, Area(left, area.top, right - left, area.height)))
        return found


_LINES = (
    # left, top, height, largest width
    (62, 6, 40, WIDTH_PX - 62),
    (0, 70, 30, 240),
    (0, 118, 30, 240),
    (0, 166, 30, 240),
)


def draw_print(lines: Sequence[str], code: str, font: str) -> Print:
    """A complete print without faults: four lines of text, and a Data Matrix of the GS1 element string `code`.

    Raises ValueError if `code` is not an element string such as `(01)09521234500018(10)7481-83`.
    """
    ink = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    _put(ink, _mark(), 0, 4)
    areas = []
    for text, (left, top, height_px, width_px) in zip(lines, _LINES, strict=True):
        line = _squeezed(text, font, height_px, width_px)
        _put(ink, line, left, top)
        areas.append((text, Area(left, top, line.shape[1], line.shape[0])))
    matrix = _data_matrix(code)
    place = Area(WIDTH_PX - matrix.shape[1], 84, *matrix.shape[::-1])
    _put(ink, matrix, place.left, place.top)
    return Print(ink, tuple(areas), place, font)


def _put(ink: Ink, stamp: Ink, left: int, top: int) -> None:
    height = min(stamp.shape[0], ink.shape[0] - top)
    width = min(stamp.shape[1], ink.shape[1] - left)
    target = ink[top : top + height, left : left + width]
    np.maximum(target, stamp[:height, :width], out=target)


def _squeezed(text: str, font: str, height_px: int, width_px: int) -> Ink:
    """One line of text, `height_px` high, squeezed if it would be wider than `width_px`."""
    line = _FACES[font](text, height_px)
    if line.shape[1] > width_px:
        line = cv2.resize(line, (width_px, line.shape[0]), interpolation=cv2.INTER_AREA)
    return line


DROP_RADIUS: Final = {"dots": 0.56, "small_dots": 0.43}
"""Of the fonts of an ink-jet printer, as a share of the distance of two drops: those of `dots` touch their neighbours."""


def _dots(text: str, height_px: int) -> Ink:
    """Continuous ink-jet print: each pixel of a bitmap font is one drop."""
    return _of_drops(text, height_px, DROP_RADIUS["dots"])


def _small_dots(text: str, height_px: int) -> Ink:
    """A finer nozzle."""
    return _of_drops(text, height_px, DROP_RADIUS["small_dots"])


_BITMAP_ROWS = slice(2, 9)
"""Of Pillow's bitmap font, where digits and capitals are."""


def _of_drops(text: str, height_px: int, drop_radius: float) -> Ink:
    pixels = bitmap(text)
    pitch = max(3, round(height_px / pixels.shape[0]))
    return np.kron(pixels.astype(np.float32), drop(pitch, drop_radius))


def bitmap(text: str) -> NDArray[np.bool_]:
    """(7, w): where a printer puts a drop."""
    mask = _bitmap_font().getmask(text)
    pixels: NDArray[np.bool_] = np.asarray(mask, np.uint8).reshape(mask.size[::-1])[_BITMAP_ROWS] > 0
    return pixels


@functools.cache
def drop(pitch: int, radius: float) -> Ink:
    """(pitch, pitch): one drop. `radius`: as a share of `pitch`."""
    scale = 8
    canvas = np.zeros((pitch * scale, pitch * scale), np.uint8)
    centre = pitch * scale // 2
    cv2.circle(canvas, (centre, centre), round(radius * pitch * scale), 255, -1)
    return _ink(cv2.resize(canvas, (pitch, pitch), interpolation=cv2.INTER_AREA))


def _sans(text: str, height_px: int) -> Ink:
    font = sans_font(round(height_px * 1.3))
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
def sans_font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font."""
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


def _data_matrix(code: str) -> Ink:
    """ISO/IEC 16022, ECC 200, as a GS1 DataMatrix; without quiet zone, the fabric is its quiet zone."""
    symbol = zxingcpp.create_barcode(code, zxingcpp.BarcodeFormat.DataMatrix, gs1=True)
    dark = np.asarray(symbol.to_image(scale=1, add_quiet_zones=False)) == 0
    return dark.repeat(MODULE_PX, axis=0).repeat(MODULE_PX, axis=1).astype(np.float32)
