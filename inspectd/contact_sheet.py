"""A page of small images with two lines of text below each."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.inference.preprocess import to_colour
from inspectd.part import Image

_TILE_PX = (320, 240)
_CAPTION_PX = 44
_COLUMNS = 6
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

Colour = tuple[int, int, int]


def write_contact_sheet(path: Path, tiles: Sequence[tuple[Path | Image, tuple[str, str], Colour]]) -> None:
    """Write a sheet of `tiles`: an image or its file, two lines of text, BGR colour of the first line.

    The place of a file that can't be read stays white. Raises OSError if the sheet can't be written.
    """
    drawn = [_tile(*tile) for tile in tiles]
    blank = np.full((_TILE_PX[1] + _CAPTION_PX, _TILE_PX[0], 3), 255, np.uint8)
    drawn += [blank] * (-len(drawn) % _COLUMNS)
    rows = [np.hstack(drawn[start : start + _COLUMNS]) for start in range(0, len(drawn), _COLUMNS)]
    sheet = np.vstack(rows) if rows else blank
    if not cv2.imwrite(str(path), sheet):
        raise OSError(f"{path}: can't be written")


def _tile(source: Path | Image, text: tuple[str, str], colour: Colour) -> NDArray[np.uint8]:
    tile = np.full((_TILE_PX[1] + _CAPTION_PX, _TILE_PX[0], 3), 255, np.uint8)
    image = _photo(source) if isinstance(source, Path) else source
    if image is not None:
        share = min(_TILE_PX[0] / image.shape[1], _TILE_PX[1] / image.shape[0])
        width, height = (max(1, round(side * share)) for side in image.shape[1::-1])
        left = (_TILE_PX[0] - width) // 2
        tile[:height, left : left + width] = cv2.resize(to_colour(image), (width, height), interpolation=cv2.INTER_AREA)
    for line, (content, ink) in enumerate(zip(text, (colour, _BLACK), strict=True)):
        origin = (6, _TILE_PX[1] + 17 + 20 * line)
        cv2.putText(tile, content, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)
    return tile


def _photo(path: Path) -> Image | None:
    try:
        return read_photo(path)
    except ConfigError:
        return None
