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
from inspectd.part import AnomalyKind, Image

CELL_PX: Final = 8
LEAST_PX: Final = 64
"""Width and height of an image at least."""
KINDS: Final[tuple[AnomalyKind, ...]] = ("part",) * 4
"""Of what `Surface.look` finds."""
_EDGE_CELLS = 3
_LINE_CELLS = 9
_LINE_LEAST, _LINE_MOST = -8.0, 2.0
"""Logits beyond are equal, so that one cell does not make a line."""
_SQUARE = np.eye(_LINE_CELLS, dtype=np.float32)
_LINES = tuple(
    line / _LINE_CELLS for line in (np.ones_like(_SQUARE[:, :1]), np.ones_like(_SQUARE[:1]), _SQUARE, _SQUARE[::-1])
)
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

    def look(self, image: Image) -> tuple[tuple[Finding, ...], Map]:
        """(h, w) uint8 grey, at least LEAST_PX wide and high. Raises ValueError for another image.

        KINDS: the worst spot inside, the worst spot at the edge of the image, and the same for lines. Edges of good parts look
        more like faults, so they have limits of their own. A thin crack looks like a fault a little, in many cells of a row.
        """
        if image.ndim != 2 or min(image.shape) < LEAST_PX or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 grey of at least {LEAST_PX}x{LEAST_PX}, got {image.shape} {image.dtype}")
        logits = np.clip(self._run(np.ascontiguousarray(image)[None, None])[0, 0], -_HIGHEST, _HIGHEST)
        spots: Map = np.exp(cv2.blur(logits, (3, 3), borderType=cv2.BORDER_REPLICATE))
        lines = _lines(logits)
        inside = np.zeros(spots.shape, bool)
        inside[_EDGE_CELLS:-_EDGE_CELLS, _EDGE_CELLS:-_EDGE_CELLS] = True
        views = ((spots, 3), (lines, _LINE_CELLS))
        return tuple(_worst(scores, where, cells) for scores, cells in views for where in (inside, ~inside)), spots


def _lines(logits: Map) -> Map:
    """How much more like a fault each cell's line looks than the square around it: the exponential of the difference."""
    level = np.clip(logits, _LINE_LEAST, _LINE_MOST)
    along = [cv2.filter2D(level, -1, line, borderType=cv2.BORDER_REPLICATE) for line in _LINES]
    around = cv2.blur(level, (2 * _LINE_CELLS + 1,) * 2, borderType=cv2.BORDER_REPLICATE)
    scores: Map = np.exp(np.max(along, axis=0) - around)
    return scores


def _worst(scores: Map, where: NDArray[np.bool_], cells: int) -> Finding:
    """`cells`: width and height of the box around it."""
    row, column = np.unravel_index(int(np.argmax(np.where(where, scores, -1))), scores.shape)
    box = (int(column - cells // 2) * CELL_PX, int(row - cells // 2) * CELL_PX, cells * CELL_PX, cells * CELL_PX)
    return Finding("part", float(scores[row, column]), box)
