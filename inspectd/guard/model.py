"""The guard: is every place of the label as on good ones, and does the print lie as it should?

Fitted to good labels alone. It knows no faults; what it has not seen on good labels is far from them.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.guard import measurement, placement, variation
from inspectd.guard.measurement import Measurements, Usual
from inspectd.guard.placement import Box, Matrix, Placement, Placer
from inspectd.guard.registration import Grey, Template
from inspectd.guard.variation import STRIDE, WINDOW, Map, Variation
from inspectd.part import Image

FORMAT: Final = 1
VIEWS: Final = ("print", "part")
"""What is compared with good labels, place by place: the straightened print and the straightened part around it."""
_MAX_BYTES: Final = 1 << 28
_PX: Final = (2, 4)
"""px of the image per pixel of each view."""


@dataclass(frozen=True, slots=True)
class Place:
    score: float
    corners: NDArray[np.float32]
    """(4, 2) x, y in px of the image."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """left, top, width, height in px of the image."""
        left, top, width, height = cv2.boundingRect(self.corners)
        return left, top, width, height


@dataclass(frozen=True, slots=True)
class Judgement:
    """Higher scores are worse; about 1 is usual. What is too much is chosen with other good labels (`limits`)."""

    maps: tuple[Map, ...]
    """Per view one score for every 4 pixels of it."""
    places: tuple[Place, ...]
    """The worst of each view."""
    measured: Measurements
    turned: float
    """The print's angle as a share of the largest one seen on good labels."""
    shifted: float
    """The same of its offset."""

    @property
    def scores(self) -> tuple[float, ...]:
        """Of the views, then turned and shifted."""
        return (*(place.score for place in self.places), self.turned, self.shifted)


class Guard:
    """Used from any number of threads."""

    def __init__(self, placer: Placer, views: Sequence[Variation], usual: Usual, size: tuple[int, int]) -> None:
        self.size = size
        """Width and height of the images in px."""
        self._placer = placer
        self._views = tuple(views)
        self._usual = usual

    @property
    def print_box(self) -> tuple[int, int, int, int]:
        """left, top, width, height in px of the image, where the print is on a usual good label."""
        region = self._placer.region
        return region.left, region.top, *region.size

    def judge(self, image: Image) -> Judgement:
        """(h, w) uint8 grey. Raises ValueError for another size or type."""
        if image.shape[::-1] != self.size or image.dtype != np.uint8:
            raise ValueError(f"expected {self.size[1]}x{self.size[0]} uint8 grey, got {image.shape} {image.dtype}")
        found = self._placer.place(image)
        maps = tuple(view.scores(image) for view, image in zip(self._views, _views(found), strict=True))
        to_image = (found.to_image, found.part.matrix(*self.size))
        places = tuple(_worst(*one) for one in zip(maps, to_image, _PX, strict=True))
        measured = self._usual.measure(found.print)
        return Judgement(maps, places, measured, *self._usual.shares(measured))

    def save(self, path: Path) -> None:
        """Plain arrays in one .npz."""
        part, print_ = self._placer.part_templates, self._placer.print_templates
        arrays = {
            "format": np.array(FORMAT),
            "size": np.array(self.size),
            "region": np.array(self._placer.region),
            "usual": np.array([*self._usual.middle, self._usual.turn_deg, self._usual.shift_px]),
            **_numbered("part", part),
            **_numbered("print", print_),
            **{
                f"view_{name}_{key}": value
                for name, view in zip(VIEWS, self._views, strict=True)
                for key, value in view.arrays().items()
            },
        }
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def fit(images: Sequence[Image], region: Box | None = None) -> Guard:
    """From good images (h, w) uint8 grey of one size. `region`: where the print is on the mean one; found if not given.

    Raises ValueError: too few images, no print found.
    """
    placer = placement.fit(images, region)
    found = [placer.place(image) for image in images]
    return Guard(
        placer,
        [variation.fit(images) for images in zip(*map(_views, found), strict=True)],
        measurement.fit([one.print for one in found]),
        (images[0].shape[1], images[0].shape[0]),
    )


def load(data: bytes) -> Guard:
    """What `save` wrote. Raises ValueError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > _MAX_BYTES:
            raise ValueError(f"its arrays take {unpacked} bytes; {_MAX_BYTES} are allowed")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, zipfile.BadZipFile, OSError, EOFError, AttributeError) as error:
        raise ValueError(f"not a guard's file: {error}") from error
    try:
        return _loaded(arrays)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a guard's file: {error!r}") from error


def _loaded(arrays: dict[str, NDArray[Any]]) -> Guard:
    if int(arrays["format"]) != FORMAT:
        raise ValueError(f"has format {arrays['format']}, this inspectd reads {FORMAT}")
    part, print_ = (
        [Template(arrays[f"{name}{index}_mean"], arrays[f"{name}{index}_weight"]) for index in range(2)]
        for name in ("part", "print")
    )
    views = [
        Variation.from_arrays({key: arrays[f"view_{name}_{key}"] for key in ("mean", "whitening", "rows")})
        for name in VIEWS
    ]
    *middle, turn_deg, shift_px = arrays["usual"].tolist()
    width, height = arrays["size"].tolist()
    region = Box(*arrays["region"].tolist())
    if not (0 <= region.left < region.right <= width and 0 <= region.top < region.bottom <= height):
        raise ValueError(f"its print region {tuple(region)} is not inside {width}x{height} px")
    placer = Placer(part, print_, region)
    return Guard(placer, views, Usual(Measurements(*middle), turn_deg, shift_px), (width, height))


def _views(found: Placement) -> tuple[Grey, Grey]:
    return found.ink, found.part_alone


def _worst(scores: Map, to_image: Matrix, px: int) -> Place:
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    side = STRIDE * px
    edge = (WINDOW - STRIDE) // 2 * px
    left, top = column * side - edge, row * side - edge
    right, bottom = left + WINDOW * px - 1, top + WINDOW * px - 1
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    there = cv2.transform(corners[None], to_image[:2])[0].astype(np.float32)
    return Place(float(scores[row, column]), there)


def _numbered(name: str, templates: Sequence[Template]) -> dict[str, NDArray[np.float32]]:
    return {f"{name}{index}_{key}": value for index, one in enumerate(templates) for key, value in one.arrays.items()}
