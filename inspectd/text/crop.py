"""Cut one line of text out of the camera's image, straightened and at the full resolution."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.inference.preprocess import to_grey
from inspectd.part import Image

HEIGHT: Final = 32
"""Rows of a crop."""
WIDTH_STEP: Final = 8
"""The width of a crop is a multiple of this, at most `MAX_WIDTH`."""
MAX_WIDTH: Final = 1024

Box = tuple[int, int, int, int]
"""Left, top, width, height in px of the straightened print."""


def crop_width(box: Box) -> int:
    """Columns of the crop of this box. Raises ValueError if the box is empty or too long for its height."""
    _, _, width, height = box
    if width < 1 or height < 1:
        raise ValueError(f"the box is {width}x{height} px; at least 1x1 is needed")
    columns = max(round(width * HEIGHT / height / WIDTH_STEP), 1) * WIDTH_STEP
    if columns > MAX_WIDTH:
        raise ValueError(
            f"the box is {width}x{height} px; it may be at most {MAX_WIDTH // HEIGHT} times as wide as high"
        )
    return columns


def line_crop(image: Image, to_image: NDArray[np.float64], box: Box) -> NDArray[np.uint8]:
    """(h, w) grey or (h, w, 3) BGR uint8 -> (HEIGHT, `crop_width(box)`) grey uint8.

    `to_image`: (3, 3) from px of the straightened print to px of the image. Raises ValueError, see `crop_width`.
    """
    left, top, width, height = box
    columns = crop_width(box)
    corner = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
    straight = cv2.warpAffine(
        image,
        (to_image @ corner)[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    smaller = cv2.INTER_AREA if height > HEIGHT else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(to_grey(straight), (columns, HEIGHT), interpolation=smaller), np.uint8)
