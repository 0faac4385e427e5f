"""Is every place of the straightened label as on good ones, and does the print lie as it should?

A product without print has the part alone.

Fitted to good labels alone. It knows no faults; what it has not seen on good labels is far from them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.guard import measurement, placement, variation
from inspectd.guard.judgement import Finding, Judgement, Map
from inspectd.guard.measurement import Fading, Usual
from inspectd.guard.placement import Box, Matrix, Placement, Placer, PrintPlacer, Region
from inspectd.guard.registration import Grey, Pose, Template
from inspectd.guard.variation import STRIDE, WINDOW, Variation
from inspectd.part import AnomalyKind, Image

_PRINT_PX: Final = 2
"""px of the image per pixel of the straightened print."""


class Aligned:
    """Used from any number of threads."""

    def __init__(self, placer: Placer, views: Sequence[Variation], usual: Usual | None, size: tuple[int, int]) -> None:
        self.size = size
        """Width and height of the images in px."""
        self.kinds: tuple[AnomalyKind, ...] = ("print", "part", *usual.kinds) if usual else ("part",)
        """Of its findings."""
        self._placer = placer
        self._views = tuple(views)
        self._usual = usual

    @property
    def region(self) -> Region:
        """Where it looks for the print."""
        return None if self._placer.print is None else self._placer.print.region

    def judge(self, image: Image) -> Judgement:
        """(h, w) uint8 grey. Raises ValueError for another size or type."""
        if image.shape[::-1] != self.size or image.dtype != np.uint8:
            raise ValueError(f"expected {self.size[1]}x{self.size[0]} uint8 grey, got {image.shape} {image.dtype}")
        found = self._placer.place(image)
        maps = tuple(view.scores(image) for view, image in zip(self._views, _views(found), strict=True))
        part = _worst(maps[-1], found.part.matrix(*self.size), self._placer.part_px)
        if self._placer.print is None or found.print is None or self._usual is None:
            return Judgement((Finding("part", *part),), maps, None)
        print_ = _worst(maps[0], found.print.to_image, _PRINT_PX)
        measured = self._usual.measure(found.print)
        region = self._placer.print.region
        whole = (region.left, region.top, *region.size)
        findings = (
            Finding("print", *print_),
            Finding("part", *part),
            *(Finding(kind, share, whole) for kind, share in self._usual.shares(measured).items()),
        )
        return Judgement(findings, maps, measured, found.print.to_image)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `from_arrays` takes."""
        arrays = {
            "size": np.array(self.size),
            **_numbered("part", self._placer.part_templates),
            **{
                f"view_{name}_{key}": value
                for name, view in zip(self.kinds, self._views, strict=False)
                for key, value in view.arrays().items()
            },
        }
        if self._placer.print is not None and self._usual is not None:
            arrays |= {
                "region": np.array(self._placer.print.region),
                "usual": np.array([*self._usual.middle, self._usual.turn_deg, self._usual.shift_px]),
                **({"fading": np.array([fading.usual, fading.largest])} if (fading := self._usual.fading) else {}),
                **_numbered("print", self._placer.print.templates),
            }
        return arrays


def fit(images: Sequence[Image], region: Region = "search") -> Aligned:
    """From good images (h, w) uint8 grey of one size.

    If there is no print, the guard looks at the part alone. Raises ValueError: too few images.
    """
    placer = placement.fit(images, region)
    found = [placer.place(image) for image in images]
    prints = [one.print for one in found if one.print is not None]
    return Aligned(
        placer,
        [variation.fit(images) for images in zip(*map(_views, found), strict=True)],
        measurement.fit(prints) if prints else None,
        (images[0].shape[1], images[0].shape[0]),
    )


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Aligned:
    """Raises KeyError, TypeError, IndexError or ValueError for anything that `Aligned.arrays` does not give."""
    width, height = arrays["size"].tolist()
    if "region" not in arrays:
        return Aligned(Placer(_templates(arrays, "part"), None), [_view(arrays, "part")], None, (width, height))
    region = Box(*arrays["region"].tolist())
    if not (0 <= region.left < region.right <= width and 0 <= region.top < region.bottom <= height):
        raise ValueError(f"its print region {tuple(region)} is not inside {width}x{height} px")
    placer = Placer(_templates(arrays, "part"), PrintPlacer(_templates(arrays, "print"), region))
    *middle, turn_deg, shift_px = arrays["usual"].tolist()
    fading = Fading(*arrays["fading"].tolist()) if "fading" in arrays else None  # format 1 has none
    usual = Usual(Pose(*middle), turn_deg, shift_px, fading)
    return Aligned(placer, [_view(arrays, "print"), _view(arrays, "part")], usual, (width, height))


def _templates(arrays: Mapping[str, NDArray[Any]], name: str) -> list[Template]:
    return [Template(arrays[f"{name}{index}_mean"], arrays[f"{name}{index}_weight"]) for index in range(2)]


def _view(arrays: Mapping[str, NDArray[Any]], name: str) -> Variation:
    return Variation.from_arrays({key: arrays[f"view_{name}_{key}"] for key in ("mean", "whitening", "rows")})


def _views(found: Placement) -> tuple[Grey, ...]:
    return (found.part_alone,) if found.print is None else (found.print.ink, found.part_alone)


def _worst(scores: Map, to_image: Matrix, px: int) -> tuple[float, tuple[int, int, int, int]]:
    """The highest score, and the box in the image of its window of pixels `px` px large."""
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    side = STRIDE * px
    edge = (WINDOW - STRIDE) // 2 * px
    left, top = column * side - edge, row * side - edge
    right, bottom = left + WINDOW * px - 1, top + WINDOW * px - 1
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    there = cv2.transform(corners[None], to_image[:2])[0].astype(np.float32)
    left, top, width, height = cv2.boundingRect(there)
    return float(scores[row, column]), (left, top, width, height)


def _numbered(name: str, templates: Sequence[Template]) -> dict[str, NDArray[np.float32]]:
    return {f"{name}{index}_{key}": value for index, one in enumerate(templates) for key, value in one.arrays.items()}
