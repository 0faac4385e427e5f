"""Read a code of the print: its content, or nothing."""

from typing import Final

import cv2
import numpy as np
import structlog
import zxingcpp
from numpy.typing import NDArray

from inspectd.inference.preprocess import to_grey
from inspectd.part import Box, Image
from inspectd.text.config import Symbology

log = structlog.get_logger()

_MARGIN_SHARE: Final = 0.15
"""Of the box's shorter side, at each side of it: the code may be displaced that far, and needs bare space around it."""
_FORMATS: Final = {
    "data_matrix": zxingcpp.BarcodeFormat.DataMatrix,
    "qr_code": zxingcpp.BarcodeFormat.QRCode,
    "code_128": zxingcpp.BarcodeFormat.Code128,
    "ean_8": zxingcpp.BarcodeFormat.EAN8,
    "ean_13": zxingcpp.BarcodeFormat.EAN13,
}


class Code(str):
    """The content of a code that was read."""

    is_gs1: bool
    """Whether it begins with FNC1, which says that the content is GS1 elements. FNC1 itself is not in the content."""


def read_code(image: Image, to_image: NDArray[np.float64], box: Box, symbology: Symbology) -> Code | None:
    """The content of the code in the box, after its error correction. None if there is none, or more than one, or an error.

    `image`: (h, w) grey or (h, w, 3) BGR uint8. `to_image`: (3, 3) from px of the straightened print to px of the image. `box`:
    in px of the straightened print. The separator of GS1 elements (FNC1) is \\x1d.
    """
    try:
        return _read(image, to_image, box, symbology)
    except Exception as error:  # the library decodes whatever the camera sees
        log.error("a code can't be read", error=f"{type(error).__name__}: {error}")
        return None


def box_in_image(box: Box, to_image: NDArray[np.float64]) -> Box:
    """The upright rectangle around a box of the straightened print, in px of the image. It may reach beyond the image.

    Raises ValueError if the matrix does not say where that is.
    """
    left, top, width, height = box
    corners = np.array(
        [[left, top], [left + width, top], [left + width, top + height], [left, top + height]], np.float64
    )
    there = cv2.transform(corners[None], to_image[:2])[0]
    if not np.isfinite(there).all():
        raise ValueError(f"the place of the print is not known: {to_image.tolist()}")
    (x0, y0), (x1, y1) = np.floor(there.min(axis=0)).astype(int), np.ceil(there.max(axis=0)).astype(int)
    return int(x0), int(y0), int(x1 - x0), int(y1 - y0)


def _read(image: Image, to_image: NDArray[np.float64], box: Box, symbology: Symbology) -> Code | None:
    left, top, width, height = box
    margin = round(_MARGIN_SHARE * min(width, height))
    x, y, w, h = box_in_image((left - margin, top - margin, width + 2 * margin, height + 2 * margin), to_image)
    seen = np.ascontiguousarray(to_grey(image[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]))
    formats = zxingcpp.BarcodeFormats(_FORMATS[symbology])
    found = zxingcpp.read_barcodes(
        seen, formats=formats, text_mode=zxingcpp.TextMode.Plain, try_invert=False, try_downscale=False
    )
    contents = {(code.text, code.content_type == zxingcpp.ContentType.GS1) for code in found if code.valid}
    if len(contents) != 1:
        return None
    text, is_gs1 = contents.pop()
    code = Code(text)
    code.is_gs1 = is_gs1
    return code
