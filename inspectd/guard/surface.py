"""Does any place of the surface look like a fault, wherever it is?

For what can't be laid over a mean image: textures, castings, products of several sizes. A small network was trained with
faults drawn into good photos. It looks at the image at its own size.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.guard.judgement import Finding, Map
from inspectd.part import Image

CELL_PX: Final = 8
LEAST_PX: Final = 64
"""Width and height of an image at least."""
_EDGE_CELLS = 3
_HIGHEST = 20.0
"""Logits beyond are equal: `Finding.score` is their exponential."""

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(1, 1, h, w) -> (1, 1, h // CELL_PX, w // CELL_PX) logits: how much each cell looks like a fault. From any thread."""


class Surface:
    """Used from any number of threads, as `run` is."""

    def __init__(self, network: bytes, run: Run) -> None:
        self.network = network
        """ONNX. `run` executes it."""
        self._run = run

    def look(self, image: Image) -> tuple[tuple[Finding, Finding], Map]:
        """(h, w) uint8 grey, at least LEAST_PX wide and high. Raises ValueError for another image.

        What is worst inside, and worst at the edge of the image: edges of good parts look more like faults, so they have a
        limit of their own.
        """
        if image.ndim != 2 or min(image.shape) < LEAST_PX or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 grey of at least {LEAST_PX}x{LEAST_PX}, got {image.shape} {image.dtype}")
        logits = self._run(np.ascontiguousarray(image)[None, None])[0, 0]
        smooth = cv2.blur(logits, (3, 3), borderType=cv2.BORDER_REPLICATE)
        scores: Map = np.exp(np.clip(smooth, -_HIGHEST, _HIGHEST))
        inside = np.zeros(scores.shape, bool)
        inside[_EDGE_CELLS:-_EDGE_CELLS, _EDGE_CELLS:-_EDGE_CELLS] = True
        return (_worst(scores, inside), _worst(scores, ~inside)), scores


def _worst(scores: Map, where: NDArray[np.bool_]) -> Finding:
    row, column = np.unravel_index(int(np.argmax(np.where(where, scores, -1))), scores.shape)
    box = (int(column - 1) * CELL_PX, int(row - 1) * CELL_PX, 3 * CELL_PX, 3 * CELL_PX)
    return Finding("part", float(scores[row, column]), box)
