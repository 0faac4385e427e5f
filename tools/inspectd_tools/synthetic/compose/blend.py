"""Seams: adapt what was pasted to what is around it."""

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
_METHOD = cv2.INPAINT_NS


class Membrane:
    """Poisson blending of one region (Perez et al. 2003) in the form of Farbman et al. (2009): the pasted pixels plus the
    smoothest surface (harmonic: its Laplacian is 0) that removes the step along the edge of the region.

    That surface is so smooth that a few hundred cells describe it; for a given region it is a matrix times the steps
    along the edge. Where the region meets the edge of its picture, there is no step to remove.
    """

    def __init__(self, mask: Grey, cells: int, feather_px: int) -> None:
        """`mask` (h, w): 255 in the region. `cells`: number along the longer side. `feather_px`: width over which
        details that are finer than a cell, such as noise, change from one picture to the other."""
        cell = max(1.0, max(mask.shape) / cells)
        self._size = (max(2, round(mask.shape[1] / cell)), max(2, round(mask.shape[0] / cell)))
        self._inside = cv2.resize(mask, self._size, interpolation=cv2.INTER_AREA) > 4
        self._edge = cv2.dilate(self._inside.astype(np.uint8), _CROSS).astype(bool) & ~self._inside
        self._harmonic = _harmonic(self._inside, self._edge)
        # repeat the region beyond the picture: no feathering towards the edge of the picture
        framed = cv2.copyMakeBorder(mask, feather_px, feather_px, feather_px, feather_px, cv2.BORDER_REPLICATE)
        distance = cv2.distanceTransform((framed > 0).astype(np.uint8), cv2.DIST_L2, 3)
        self._weight = np.clip(distance[feather_px:-feather_px, feather_px:-feather_px] / feather_px, 0, 1)

    def blend(self, target: Grey, source: Grey) -> Grey:
        """Both (h, w): `source` in the region, with the light of `target`; `target` everywhere else."""
        step = cv2.resize(target, self._size, interpolation=cv2.INTER_AREA).astype(np.float32)
        step -= cv2.resize(source, self._size, interpolation=cv2.INTER_AREA)
        step[self._inside] = self._harmonic @ step[self._edge]
        light = cv2.resize(step, target.shape[::-1], interpolation=cv2.INTER_LINEAR)
        change = cv2.subtract(cv2.add(source, light, dtype=cv2.CV_32F), target, dtype=cv2.CV_32F)
        return cv2.add(target, cv2.multiply(change, self._weight), dtype=cv2.CV_8U)


def inpaint_seam(image: Grey, mask: Grey, width_px: int, radius_px: float) -> Grey:
    """A strip of `width_px` along the edge of `mask`, half of it on each side, inpainted (Navier-Stokes)."""
    half = (width_px + 1) // 2
    kernel = np.ones((2 * half + 1, 2 * half + 1), np.uint8)
    strip = cv2.dilate(mask, kernel) & ~cv2.erode(mask, kernel)
    return cv2.inpaint(image, strip, radius_px, _METHOD)


_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def _harmonic(inside: NDArray[np.bool_], edge: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n inside, n edge) matrix: from the values on the edge to those inside, each of which is the mean of its neighbours."""
    n, m = int(inside.sum()), int(edge.sum())
    if n == 0 or m == 0:
        return np.zeros((n, m), np.float32)
    number = np.full(inside.shape, -1)
    number[inside], number[edge] = np.arange(n), n + np.arange(m)
    equations = np.zeros((n, n + m))
    padded = np.pad(number, 1, constant_values=-1)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbour = padded[dy : dy + inside.shape[0], dx : dx + inside.shape[1]][inside]
        exists = np.flatnonzero(neighbour >= 0)
        equations[exists, exists] += 1
        equations[exists, neighbour[exists]] -= 1
    return np.linalg.solve(equations[:, :n], -equations[:, n:]).astype(np.float32)
