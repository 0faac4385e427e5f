"""Fonts that a line of text can be drawn in: outlines, strokes, and the drops of an ink-jet printer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inspectd.errors import ConfigError
from inspectd_tools.synthetic.render import printing

Ink = NDArray[np.float32]
"""(h, w), coverage 0..1."""

_BESIDE: Final = 6
"""px beside each glyph, so that strokes may go beyond its width."""


_SAME: Final = 0.03
"""Characters that differ in less of their ink look the same."""


@dataclass(frozen=True, slots=True)
class Glyph:
    ink: Ink
    """With `_BESIDE` px more on both sides. All glyphs of a face have the same height and baseline."""
    advance: float
    """From its left edge to that of the next character."""


@dataclass(frozen=True, slots=True)
class Drawn:
    ink: Ink
    edges: NDArray[np.float64]
    """(characters + 1,): where each character begins and the last one ends, in px from the left."""


class Face:
    """`glyph`: from a character and the height of the capitals in px."""

    def __init__(self, glyph: Callable[[str, int], Glyph]) -> None:
        self._glyph = functools.cache(glyph)

    def characters(self, alphabet: str) -> str:
        """Those that it prints. Of characters that look the same, the first."""
        inks: list[Ink] = []
        printed = ""
        for character in alphabet:
            ink = self.draw(character, 32).ink
            if ink.any() and all(_difference(ink, other) > _SAME for other in inks):
                inks.append(ink)
                printed += character
        return printed

    def height(self, height_px: int) -> int:
        """Of a line. It is a little higher than its capitals: some marks go below the baseline."""
        return len(self._glyph("H", height_px).ink)

    def edges(self, text: str, height_px: int) -> NDArray[np.float64]:
        """(characters + 1,), as in `Drawn`."""
        return np.cumsum([0, *(self._glyph(character, height_px).advance for character in text)]) + _BESIDE

    def draw(self, text: str, height_px: int) -> Drawn:
        """A line of text, with capitals `height_px` high."""
        glyphs = [self._glyph(character, height_px) for character in text]
        edges = self.edges(text, height_px)
        ink = np.zeros((glyphs[0].ink.shape[0], round(edges[-1]) + 2 * _BESIDE + 2), np.float32)
        for glyph, edge in zip(glyphs, edges, strict=False):
            left = round(edge) - _BESIDE
            target = ink[:, left : left + glyph.ink.shape[1]]
            np.maximum(target, glyph.ink[:, : target.shape[1]], out=target)
        return Drawn(ink, edges)


def _difference(first: Ink, second: Ink) -> float:
    """As a share of the ink."""
    width = max(first.shape[1], second.shape[1])
    padded = [np.pad(ink, ((0, 0), (0, width - ink.shape[1]))) for ink in (first, second)]
    return float(np.abs(padded[0] - padded[1]).sum() / max(first.sum(), second.sum()))


def outline(file: Path) -> Face:
    """The face of a TTF or OTF file. Raises ConfigError."""
    return _outline(_opened(file).font_variant)


def dots(file: Path, rows: int, radius: float = 0.5) -> Face:
    """The face of a TTF or OTF file, printed with `rows` drops per capital. `radius`: of a drop, as a share of their distance.

    Raises ConfigError.
    """
    if not 5 <= rows <= 32:
        raise ConfigError(f"{file}: {rows} rows of drops; 5 to 32 are allowed")
    font = _sized(_opened(file).font_variant, rows)

    def bitmap(character: str) -> NDArray[np.bool_]:
        written, advance = _written(font, character, 0)
        return np.asarray(written[:, _BESIDE : _BESIDE + max(round(advance), 1)] > 0.45)

    return _of_drops(bitmap, rows, radius)


def strokes(face: int, thickness: float) -> Face:
    """A font of OpenCV. `thickness`: of the strokes, as a share of the height."""

    def glyph(character: str, height_px: int) -> Glyph:
        line_px = max(1, round(thickness * height_px))
        scale = cv2.getFontScaleFromHeight(face, max(height_px - line_px, 4), line_px)
        width = cv2.getTextSize(character, face, scale, line_px)[0][0]
        (_, height), below = cv2.getTextSize("H", face, scale, line_px)
        two = cv2.getTextSize(character * 2, face, scale, line_px)[0][0]
        canvas = np.zeros((height + below + line_px, width + 2 * _BESIDE), np.uint8)
        cv2.putText(canvas, character, (_BESIDE, height + line_px // 2), face, scale, 255, line_px, cv2.LINE_AA)
        return Glyph(np.divide(canvas, 255, dtype=np.float32), two - width)

    return Face(glyph)


def printer(name: str) -> Face:
    """A face of the rendered labels: dots, small_dots, sans or stroke."""
    if name in printing.DROP_RADIUS:
        return _of_drops(printing.bitmap, 7, printing.DROP_RADIUS[name])
    if name == "stroke":
        return strokes(cv2.FONT_HERSHEY_DUPLEX, 0.13)
    return _outline(lambda size: printing.sans_font(round(size)), 1)


def _outline(variant: Callable[..., ImageFont.FreeTypeFont], stroke: int = 0) -> Face:
    def glyph(character: str, height_px: int) -> Glyph:
        return Glyph(*_written(_sized(variant, height_px), character, stroke))

    return Face(glyph)


def _written(font: ImageFont.FreeTypeFont, character: str, stroke: int) -> tuple[Ink, float]:
    above = round(-font.getbbox("H", anchor="ls")[1]) + 1 + stroke
    below = max(round(font.getbbox("Q(", anchor="ls")[3]), 0) + stroke
    advance = font.getlength(character)
    image = Image.new("L", (round(advance) + 2 * _BESIDE, above + below))
    ImageDraw.Draw(image).text((_BESIDE, above), character, font=font, fill=255, anchor="ls", stroke_width=stroke)
    return np.divide(np.asarray(image), 255, dtype=np.float32), advance


def _sized(variant: Callable[..., ImageFont.FreeTypeFont], height_px: int) -> ImageFont.FreeTypeFont:
    capital = -variant(size=100).getbbox("H", anchor="ls")[1]
    return variant(size=100 * height_px / capital)


def _of_drops(bitmap: Callable[[str], NDArray[np.bool_]], rows: int, radius: float) -> Face:
    def glyph(character: str, height_px: int) -> Glyph:
        pitch = max(3, round(height_px / rows))
        ink = np.kron(bitmap(character).astype(np.float32), printing.drop(pitch, radius))
        return Glyph(np.pad(ink, ((0, 0), (_BESIDE, _BESIDE))), ink.shape[1])

    return Face(glyph)


def _opened(file: Path) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(file), 40)
    except OSError as error:
        raise ConfigError(f"{file}: can't be read as a TTF or OTF font: {error}") from error
