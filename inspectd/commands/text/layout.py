"""Where the straightened prints of good labels have lines of text and codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from inspectd.guard.registration import Grey
from inspectd.part import Image

Box = tuple[int, int, int, int]
"""Left, top, width, height in px of the straightened print."""

SYMBOLOGIES: Final = {
    "DataMatrix": "data_matrix",
    "QRCode": "qr_code",
    "Code128": "code_128",
    "EAN8": "ean_8",
    "EAN13": "ean_13",
}
"""Name of zxing-cpp -> name in the config."""
_INKED = 0.4
"""Of the ink where the print is darkest."""
_PAPER_PX = 60
"""No stroke of the print is wider."""
_DARKEST_PERCENT = 97
_FAINTEST = 0.15
"""Ink takes at least this share of the light away."""
_JOIN_PX = 5
"""Drops of one character are at most so far apart."""
_SMALLEST_PX = 10
"""Height of a character. The reader needs that many."""
_LONGEST_GAP = 1.6
"""Between two characters of one line, as a share of their height. A space is not longer."""
_OFTEN = 0.6
"""A line counts if so many of the photos show it."""
_MARGIN = 0.2
"""Around a line, as a share of its height."""


@dataclass(frozen=True, slots=True)
class FoundCode:
    box: Box
    symbology: str
    """As the config names it."""
    contents: list[str | None]
    """What it says on each photo; None where it could not be read."""


@dataclass(frozen=True, slots=True)
class Layout:
    lines: list[Box]
    """From top to bottom."""
    codes: list[FoundCode]


def find_layout(prints: Sequence[Image]) -> Layout:
    """`prints`: (h, w) uint8 grey, straightened, all of one size; at least one."""
    codes = _codes(prints)
    found = [_lines(_without(_ink(image), codes)) for image in prints]
    size = (prints[0].shape[1], prints[0].shape[0])
    lines = [_with_margin(_around(boxes), size) for boxes in _same_places(found)]
    return Layout(sorted(lines, key=lambda box: (box[1], box[0])), codes)


def _codes(prints: Sequence[Image]) -> list[FoundCode]:
    """Codes that can be read on at least half of the photos."""
    places: list[tuple[str, list[Box], list[str | None]]] = []
    for number, image in enumerate(prints):
        for code in zxingcpp.read_barcodes(image, text_mode=zxingcpp.TextMode.Plain):
            symbology = SYMBOLOGIES.get(code.format.name)
            if symbology is None:
                continue
            box = _corners_box(code.position)
            same = (place for place in places if place[0] == symbology and _overlap(box, place[1][-1]) > 0.3)
            place = next(same, None)
            if place is None:
                place = (symbology, [], [None] * len(prints))
                places.append(place)
            place[1].append(box)
            place[2][number] = code.text
    size = (prints[0].shape[1], prints[0].shape[0])
    return [
        FoundCode(_with_margin(_around(boxes), size), symbology, contents)
        for symbology, boxes, contents in places
        if 2 * len(boxes) >= len(prints)
    ]


def _corners_box(position: zxingcpp.Position) -> Box:
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    left, top, width, height = cv2.boundingRect(np.array([(corner.x, corner.y) for corner in corners], np.int32))
    return left, top, width, height


def _ink(image: Image) -> Grey:
    """(h, w): 0 bare, about 1 where the print is darkest."""
    quarter = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    kernel = np.ones((_PAPER_PX // 4, _PAPER_PX // 4), np.uint8)
    paper = cv2.resize(cv2.blur(cv2.morphologyEx(quarter, cv2.MORPH_CLOSE, kernel), kernel.shape), image.shape[::-1])
    ink = 1 - image.astype(np.float32) / np.maximum(paper, 1)
    darkest: Grey = ink / max(float(np.percentile(ink, _DARKEST_PERCENT)), _FAINTEST)
    return darkest


def _without(ink: Grey, codes: Sequence[FoundCode]) -> Grey:
    bare = ink.copy()
    for code in codes:
        left, top, width, height = code.box
        bare[top : top + height, left : left + width] = 0
    return bare


def _lines(ink: Grey) -> list[Box]:
    """The lines of one print: rows of characters of about the same height."""
    kernel = np.ones((_JOIN_PX, _JOIN_PX), np.uint8)
    inked = cv2.morphologyEx((ink > _INKED).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    _, _, stats, _ = cv2.connectedComponentsWithStats(inked)
    blobs: list[Box] = [(int(left), int(top), int(width), int(height)) for left, top, width, height, _ in stats[1:]]
    tall = sorted(blob for blob in blobs if blob[3] >= _SMALLEST_PX)
    rows: list[list[Box]] = []
    for blob in tall:
        row = next((row for row in rows if _follows(blob, row[-1])), None)
        if row is None:
            rows.append([blob])
        else:
            row.append(blob)
    words = [_around(_without_mark(row)) for row in rows if len(row) > 1 or row[0][2] > 2 * row[0][3]]
    return [_around([word, *(blob for blob in blobs if _is_inside(blob, word))]) for word in words]


def _follows(blob: Box, last: Box) -> bool:
    """Whether the blob is the next character of the line that `last` ends."""
    low, high = sorted((blob[3], last[3]))
    shared = min(blob[1] + blob[3], last[1] + last[3]) - max(blob[1], last[1])
    return shared > 0.6 * low and high < 1.6 * low and blob[0] - (last[0] + last[2]) < _LONGEST_GAP * high


def _without_mark(row: list[Box]) -> list[Box]:
    """Without a maker's mark before or after the text: it is about as wide as high, and a little taller than the characters."""
    if len(row) > 2 and _is_mark(row[0], row[1:]):
        row = row[1:]
    if len(row) > 2 and _is_mark(row[-1], row[:-1]):
        row = row[:-1]
    return row


def _is_mark(blob: Box, others: Sequence[Box]) -> bool:
    _, _, width, height = blob
    return 0.8 < width / height < 1.25 and height > 1.07 * float(np.median([other[3] for other in others]))


def _is_inside(blob: Box, word: Box) -> bool:
    """Whether a small blob, such as a hyphen, belongs to the word."""
    middle_x, middle_y = blob[0] + blob[2] / 2, blob[1] + blob[3] / 2
    inside_x = word[0] - word[3] < middle_x < word[0] + word[2] + word[3]
    return blob[3] < _SMALLEST_PX and inside_x and word[1] < middle_y < word[1] + word[3]


def _same_places(found: Sequence[Sequence[Box]]) -> list[list[Box]]:
    """The lines of all prints, put together where they are the same line."""
    places: list[list[Box]] = []
    for box in (box for boxes in found for box in boxes):
        place = next((place for place in places if _overlap(box, place[0]) > 0.3), None)
        if place is None:
            places.append([box])
        else:
            place.append(box)
    return [place for place in places if len(place) >= _OFTEN * len(found)]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _around(boxes: Sequence[Box]) -> Box:
    """What nearly all boxes are inside of: of many, the most extreme 2 % do not count."""
    edges: NDArray[np.int_] = np.array([(left, top, left + width, top + height) for left, top, width, height in boxes])
    left, top = np.percentile(edges[:, :2], 2, axis=0, method="lower").astype(int).tolist()
    right, bottom = np.percentile(edges[:, 2:], 98, axis=0, method="higher").astype(int).tolist()
    return left, top, right - left, bottom - top


def _with_margin(box: Box, size: tuple[int, int]) -> Box:
    """Not beyond the print."""
    left, top, width, height = box
    margin = max(round(_MARGIN * height), 3)
    right, bottom = min(left + width + margin, size[0]), min(top + height + margin, size[1])
    left, top = max(left - margin, 0), max(top - margin, 0)
    return left, top, right - left, bottom - top
