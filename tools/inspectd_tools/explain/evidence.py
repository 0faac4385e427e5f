"""Does a map point to where the evidence is known to be?

Pointing game: Zhang et al., "Top-down neural attention by excitation backprop", 2018.
"""

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.files.csv_file import read_csv
from inspectd.inference.preprocess import InputSpec, to_grey
from inspectd_tools.data.images import as_seen

_TOLERANCE_PX = 15
"""Tolerance of the pointing game, as in its paper."""
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


def mask_share(attribution: Map, mask: Mask) -> float:
    """Share of the map's magnitude inside the mask, 0..1; both (H, W). NaN for a map that is zero everywhere."""
    magnitude = np.abs(attribution, dtype=np.float64)
    total = magnitude.sum()
    return float(magnitude[mask].sum() / total) if total > 0 else float("nan")


def points_at(attribution: Map, mask: Mask) -> bool:
    """Whether the largest magnitude is in the mask or at most 15 px beside it; both (H, W). False for a map of zeros."""
    magnitude = np.abs(attribution)
    place = np.unravel_index(magnitude.argmax(), magnitude.shape)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return bool(magnitude[place] > 0 and distance[place] <= _TOLERANCE_PX)


def fault_mask(photo: Path, folder: Path | None, spec: InputSpec) -> Mask | None:
    """(H, W) mask as the network sees the photo, from `folder/<class>/<name>.png` or `folder/<name>.png`.

    None if there is no mask or nothing is marked in it. Raises ConfigError for a mask that cannot be read.
    """
    if folder is None:
        return None
    name = photo.with_suffix(".png").name
    for path in (folder / photo.parent.name / name, folder / name):
        if path.is_file():
            return _seen(to_grey(read_photo(path)), spec, path)
    return None


def label_mask(photo: Path, spec: InputSpec) -> Mask | None:
    """(H, W) mask of the label, from the polygon in the `truth.csv` of rendered photos; None for other photos."""
    for root in (photo.parent, photo.parent.parent):
        polygon = _polygons(root / "truth.csv").get(photo.relative_to(root).as_posix())
        if polygon is not None:
            mask = np.zeros_like(to_grey(read_photo(photo)))
            cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 255)
            return _seen(mask, spec, photo)
    return None


def _seen(mask: NDArray[np.uint8], spec: InputSpec, path: Path) -> Mask | None:
    seen = as_seen(mask, spec, path)[0, 0] >= 64  # a fault may be thinner than a pixel of the network's input
    return seen if seen.any() else None


@cache
def _polygons(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.is_file():
        return {}
    try:
        return {row["file"]: np.array(json.loads(row["polygon"]), float) for row in read_csv(path, ("file", "polygon"))}
    except (ConfigError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: is not a truth.csv of tools/synthesize.py with the columns file and polygon: {error}"
        ) from error
