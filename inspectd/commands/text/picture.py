"""Show proposed fields on a straightened print."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inspectd.commands.text.proposal import Proposal
from inspectd.part import Image

_SCALE = 2
_TEXT, _CODE = (0, 0, 200), (200, 90, 0)
"""BGR"""


def write_picture(path: Path, print_: Image, proposals: Sequence[Proposal]) -> None:
    """Each box with its name, on the print (h, w) uint8 grey, twice as large. Raises OSError."""
    large = cv2.resize(print_, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(large, cv2.COLOR_GRAY2BGR)
    for proposal in proposals:
        colour = _TEXT if proposal.symbology is None else _CODE
        left, top, width, height = (side * _SCALE for side in proposal.box)
        cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), colour, 1)
        _write(picture, proposal.name, (left + 2, top + 12), colour)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path}: can't be written; the name must end with .png or .jpg")


def _write(picture: Image, text: str, origin: tuple[int, int], colour: tuple[int, int, int]) -> None:
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    left, bottom = origin
    box = picture[max(bottom - height - 1, 0) : bottom + below, left : left + width]
    box[:] = np.uint8(255)
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
