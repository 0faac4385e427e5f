"""Read lines of good labels, to propose what a field says. Nothing here judges a label."""

import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from inspectd.commands.text.layout import Box
from inspectd.part import Image
from inspectd.text.crop import line_crop
from inspectd.text.reader import Reader

Read = Callable[[Image, Box], str]
"""A straightened print (h, w) uint8 grey and the box of a line -> what it says; '' if that can't be read."""


def rapidocr() -> Read | None:
    """An independent reader, if it is installed: the extra `teach`."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    engine = RapidOCR(params={"Global.log_level": "critical"})

    def read(print_: Image, box: Box) -> str:
        left, top, width, height = box
        line = cv2.cvtColor(print_[top : top + height, left : left + width], cv2.COLOR_GRAY2BGR)
        found: Any = engine(line, use_det=False, use_cls=False, use_rec=True)
        return " ".join(found.txts or ()).strip()

    return read


def own(reader: Reader) -> Read:
    """The reader of the line: per column the most probable symbol."""
    symbols = ["", "?", *reader.alphabet]

    def read(print_: Image, box: Box) -> str:
        best = reader.log_probs(line_crop(print_, np.eye(3), box)).argmax(axis=1)
        begins = np.flatnonzero(np.diff(best, prepend=-1))
        return "".join(symbols[best[place]] for place in begins).strip()

    return read
