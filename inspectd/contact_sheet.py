"""A page of small images with two lines of text below each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.inference.preprocess import to_colour
from inspectd.part import Image

_PICTURE_PX = (320, 240)
_CAPTION_PX = 44
_COLUMNS = 6
_BLACK = (0, 0, 0)
_YELLOW = (66, 228, 240)
"""Okabe and Ito's yellow. It differs from black in brightness, so the frame is seen without colours too."""
_GAP_PX = 4
"""Between a box and its frame, so that the frame covers nothing of what it shows."""
_SMALLEST_FRAME_PX = 18

Colour = tuple[int, int, int]
"""BGR"""
Box = tuple[int, int, int, int]
"""Left, top, width and height in px of the image."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of a sheet, or its file."""

    image: Path | Image
    caption: tuple[str, str]
    colour: Colour
    """The colour of the caption's first line."""
    framed: Box | None = None
    """The place to frame."""


def write_contact_sheet(path: Path, tiles: Sequence[Tile]) -> None:
    """Write a sheet of `tiles`.

    The place of a file that can't be read stays white. Raises OSError if the sheet can't be written.
    """
    drawn = [_draw(tile) for tile in tiles]
    blank = np.full((_PICTURE_PX[1] + _CAPTION_PX, _PICTURE_PX[0], 3), 255, np.uint8)
    drawn += [blank] * (-len(drawn) % _COLUMNS)
    rows = [np.hstack(drawn[start : start + _COLUMNS]) for start in range(0, len(drawn), _COLUMNS)]
    sheet = np.vstack(rows) if rows else blank
    if not cv2.imwrite(str(path), sheet):
        raise OSError(f"{path}: can't be written")


def _draw(tile: Tile) -> NDArray[np.uint8]:
    drawn = np.full((_PICTURE_PX[1] + _CAPTION_PX, _PICTURE_PX[0], 3), 255, np.uint8)
    image = _photo(tile.image) if isinstance(tile.image, Path) else tile.image
    if image is not None:
        share = min(_PICTURE_PX[0] / image.shape[1], _PICTURE_PX[1] / image.shape[0])
        width, height = (max(1, round(side * share)) for side in image.shape[1::-1])
        left = (_PICTURE_PX[0] - width) // 2
        picture = drawn[:height, left : left + width]
        picture[:] = cv2.resize(to_colour(image), (width, height), interpolation=cv2.INTER_AREA)
        if tile.framed is not None:
            _frame(picture, tile.framed, share)
    for line, (content, ink) in enumerate(zip(tile.caption, (tile.colour, _BLACK), strict=True)):
        origin = (6, _PICTURE_PX[1] + 17 + 20 * line)
        cv2.putText(drawn, content, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)
    return drawn


def _frame(picture: NDArray[np.uint8], box: Box, share: float) -> None:
    """Draw a yellow frame with black edges around `box` in the reduced picture. It stays inside the picture."""
    corners = []
    for start, length, end in zip(box[:2], box[2:], picture.shape[1::-1], strict=True):
        half = max(length * share / 2 + _GAP_PX, _SMALLEST_FRAME_PX / 2)
        middle = (start + length / 2) * share
        corners.append([int(np.clip(round(middle + side), 2, max(2, end - 3))) for side in (-half, half)])
    (left, right), (top, bottom) = corners
    for colour, margin in ((_BLACK, 2), (_YELLOW, 1), (_YELLOW, 0), (_BLACK, -1)):
        cv2.rectangle(picture, (left - margin, top - margin), (right + margin, bottom + margin), colour, 1)


def _photo(path: Path) -> Image | None:
    try:
        return read_photo(path)
    except ConfigError:
        return None
