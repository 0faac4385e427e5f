"""The fonts that a reader is commissioned for, as a command line names them."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import cv2
import matplotlib
import numpy as np

from inspectd.errors import ConfigError
from inspectd_tools.text import faces
from inspectd_tools.text.crops import read_crops
from inspectd_tools.text.lines import CALIBRATION, Line, render
from inspectd_tools.text.source import Rendered, Source
from inspectd_tools.text.texts import ALPHABET, random_text

_FORM: Final = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]{0,60})=(?P<place>.+?)(,rows=(?P<rows>\d+))?(,drop=(?P<drop>0?\.\d+))?"
)
_PRINTER: Final = "printer:"
PRINTERS: Final = ("dots", "sans", "stroke", "small_dots")
"""The fonts of rendered labels."""


class PrintedFont(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def made_from(self) -> str:
        """Where its lines come from, for the bundle."""

    @property
    def characters(self) -> str:
        """Those that may be read in this font."""

    @property
    def source(self) -> Source:
        """Of lines to train with."""

    def for_calibration(self, most: int, rng: np.random.Generator) -> Sequence[Line]:
        """At most so many lines that say what they should, and that training has not seen."""


@dataclass(frozen=True, slots=True)
class RenderedFont:
    name: str
    made_from: str
    face: faces.Face
    characters: str

    @property
    def source(self) -> Source:
        return Rendered(self.face, self.characters)

    def for_calibration(self, most: int, rng: np.random.Generator) -> Sequence[Line]:
        return [
            render(
                random_text(rng, int(rng.integers(4, 17)), self.characters), self.face, 0, rng, CALIBRATION, fit=True
            )
            for _ in range(most)
        ]


def font(text: str) -> PrintedFont:
    """`name=file.ttf`, `name=file.ttf,rows=9` with optional `,drop=0.5`, `name=folder` of crops, or `name=printer:dots`.

    Raises ConfigError.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{text!r} is not a font: write NAME=FILE.ttf, NAME=FILE.ttf,rows=9 for print in drops, or NAME=FOLDER with crops; a "
            "name has small letters, digits and . _ -"
        )
    name, place = found["name"], found["place"]
    if place.startswith(_PRINTER):
        if place.removeprefix(_PRINTER) not in PRINTERS:
            raise ConfigError(f"{place}: is not a font of rendered labels; they are {', '.join(PRINTERS)}")
        return _rendered(name, place, faces.printer(place.removeprefix(_PRINTER)))
    path = Path(place)
    if path.is_dir():
        return read_crops(name, path)
    rows, radius = found["rows"], float(found["drop"] or 0.5)
    face = faces.dots(path, int(rows), radius) if rows else faces.outline(path)
    drops = f", {rows} rows of drops of {radius:g}" if rows else ""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _rendered(name, f"{path.name}{drops}, sha256 {digest}", face)


def _rendered(name: str, made_from: str, face: faces.Face) -> RenderedFont:
    return RenderedFont(name, made_from, face, face.characters(ALPHABET))


def usual_sources() -> list[Source]:
    """Fonts that every reader learns, so that it knows what is common to all: a font of one's own is then learned faster."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    outlines = ("DejaVuSans.ttf", "DejaVuSansMono-Bold.ttf", "cmss10.ttf", "STIXGeneralBol.ttf")
    usual = [
        *(faces.outline(folder / name) for name in outlines),
        faces.dots(folder / "DejaVuSansMono-Bold.ttf", 9, 0.5),
        faces.dots(folder / "DejaVuSans.ttf", 12, 0.45),
        faces.strokes(cv2.FONT_HERSHEY_SIMPLEX, 0.1),
        faces.strokes(cv2.FONT_HERSHEY_PLAIN, 0.14),
        faces.strokes(cv2.FONT_HERSHEY_COMPLEX, 0.1),
    ]
    return [Rendered(face, face.characters(ALPHABET)) for face in usual]
