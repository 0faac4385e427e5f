"""Where the part is in the image, and where the print is on the part, if there is one.

Both are measurements: how far the print is turned and shifted against the mean of good labels. They also straighten the
label, so that every place of it can be compared with the same place of good ones. For this, the ink of each print is
divided by its own darkness, which is a measurement, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.guard import registration
from inspectd.guard.registration import NOWHERE, Grey, Pose, Registration, Template, straightened
from inspectd.part import Image

_PAPER_PX = 60
"""No stroke or blot of the print is wider."""
_MARGIN_PX = 24
_DARKEST_PERCENT = 97
"""Of a print's pixels this share is brighter than its darkest ones."""
_MOST_OF_IMAGE = 0.7
"""A print fills at most this share of the image. Otherwise nothing is left that shows where the part lies."""
_MIN_INK = 0.2
"""Share of the light that ink takes away at least."""

Matrix = NDArray[np.float64]
"""(3, 3), from px of one plane to px of another."""


class Box(NamedTuple):
    """px; right and bottom are excluded. All are multiples of 8, so that pixels 2, 4 and 8 px large fit in."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top


Region = Box | Literal["search"] | None
"""Where on the mean part the print is; None: there is no print."""


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The image (h, w), and (h/2, w/2), (h/4, w/4), (h/8, w/8) float32."""

    full: Image
    half: Grey
    quarter: Grey
    eighth: Grey


@dataclass(frozen=True, slots=True)
class PlacedPrint:
    pose: Pose
    """Against the part."""
    to_image: Matrix
    """From the straightened region (origin at its top left corner) to the image."""
    ink: Grey
    """(h/2, w/2) of the straightened region: 0 bare, about 1 where the print is darkest."""
    darkness: float
    """Share of the light that the darkest ink takes away."""


@dataclass(frozen=True, slots=True)
class Placement:
    part: Pose
    """Against the mean good part."""
    part_alone: Grey
    """The whole image with the part straightened, (H/4, W/4) if there is a print, else (H/2, W/2); its mean is 1."""
    print: PlacedPrint | None


class PrintPlacer:
    """`templates`: with pixels of 4 and 2 px. `region`: where the print is on the mean part."""

    def __init__(self, templates: Sequence[Template], region: Box) -> None:
        self.region = region
        self._registrations = [Registration(template, doubting=level > 0) for level, template in enumerate(templates)]

    @property
    def templates(self) -> list[Template]:
        return [registration.template for registration in self._registrations]

    def place(self, pyramid: Pyramid, part: Pose) -> PlacedPrint:
        """`part`: where the part lies."""
        quarter, half = inks(pyramid, part, self.region)
        pose = _located(self._registrations, [quarter, half], 4)
        to_image = region_to_image(pyramid.full, part, self.region) @ pose.matrix(*self.region.size)
        quarter, half = straight_inks(pyramid, to_image, self.region)
        darkness = float(np.percentile(quarter, _DARKEST_PERCENT))
        return PlacedPrint(pose, to_image, half / max(darkness, _MIN_INK), darkness)


class Placer:
    """Finds the poses in a grey image. `part`: templates with pixels of 8 and 4 px. `print_`: None if there is none."""

    def __init__(self, part: Sequence[Template], print_: PrintPlacer | None) -> None:
        self.print = print_
        self.part_px = 4 if print_ else 2
        """px of the image per pixel of `Placement.part_alone`."""
        self._part = [Registration(template, doubting=level > 0) for level, template in enumerate(part)]

    @property
    def part_templates(self) -> list[Template]:
        return [registration.template for registration in self._part]

    def place(self, image: Image) -> Placement:
        """(h, w) uint8 -> where part and print lie."""
        pyramid = pyramid_of(image)
        part = _located(self._part, [pyramid.eighth, pyramid.quarter], 8)
        seen = pyramid.quarter if self.print else pyramid.half
        height, width = seen.shape
        whole = straightened(seen, part.scaled(1 / self.part_px).matrix(width, height))
        light = max(float(whole.mean()), 1)
        return Placement(part, whole / light, self.print.place(pyramid, part) if self.print else None)


def fit(images: Sequence[Image], region: Region = "search") -> Placer:
    """From good images (h, w) uint8."""
    pyramids = [pyramid_of(image) for image in images]
    eighth, poses = registration.fit([pyramid.eighth for pyramid in pyramids])
    quarters = [pyramid.quarter for pyramid in pyramids]
    quarter, poses = registration.fit(quarters, start=[pose.scaled(2) for pose in poses])
    where = _find_print(quarters, poses) if region == "search" else region
    if where is None:
        return Placer((eighth, quarter), None)
    relevant = np.ones_like(quarter.mean)
    left, top, right, bottom = (edge // 4 for edge in where)
    relevant[top:bottom, left:right] = 0
    quarter, poses = registration.fit(quarters, relevant, poses)
    pairs = [inks(pyramid, pose.scaled(4), where) for pyramid, pose in zip(pyramids, poses, strict=True)]
    print_quarter, poses = registration.fit([pair[0] for pair in pairs])
    print_half, _ = registration.fit([pair[1] for pair in pairs], start=[pose.scaled(2) for pose in poses])
    return Placer((eighth, quarter), PrintPlacer((print_quarter, print_half), where))


def pyramid_of(image: Image) -> Pyramid:
    half = _halved(image.astype(np.float32))
    quarter = _halved(half)
    return Pyramid(image, half, quarter, _halved(quarter))


def inks(pyramid: Pyramid, part: Pose, region: Box) -> tuple[Grey, Grey]:
    """The region on the straightened part, (h/4, w/4) and (h/2, w/2): share of the light that the ink takes away."""
    return straight_inks(pyramid, region_to_image(pyramid.full, part, region), region)


def straight_inks(pyramid: Pyramid, to_image: Matrix, region: Box) -> tuple[Grey, Grey]:
    """(h/4, w/4) and (h/2, w/2) of the region: share of the light that the ink takes away."""
    quarter = reduced_warp(pyramid.quarter, to_image, region, 4)
    bare = _paper(quarter)
    half = reduced_warp(pyramid.half, to_image, region, 2)
    return 1 - quarter / bare, 1 - half / cv2.resize(bare, half.shape[::-1])


def region_to_image(image: Image, part: Pose, region: Box) -> Matrix:
    matrix = part.matrix(image.shape[1], image.shape[0])
    matrix[:, 2] += matrix[:, :2] @ np.array([region.left, region.top])
    return matrix


def reduced_warp(grey: Grey, to_image: Matrix, region: Box, px: int) -> Grey:
    """The region out of an image with pixels `px` px large."""
    small = to_image.copy()
    edge = (px - 1) / 2  # the middle of the first pixel
    small[:2, 2] = (to_image[:2] @ np.array([edge, edge, 1]) - edge) / px
    width, height = region.size
    return straightened(grey, small, (width // px, height // px))


def _halved(grey: Grey) -> Grey:
    height, width = grey.shape
    half: Grey = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return half


def _paper(quarter: Grey) -> Grey:
    """(h, w) with pixels of 4 px -> the same: how bright the bare label is there."""
    side = _PAPER_PX // 4
    bare: Grey = np.maximum(cv2.blur(_closed(quarter), (side, side)), 1)
    return bare


def _closed(quarter: Grey) -> Grey:
    """Without what is dark and narrower than the print's widest blots."""
    kernel = np.ones((_PAPER_PX // 4, _PAPER_PX // 4), np.uint8)
    closed: Grey = cv2.morphologyEx(quarter, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)
    return closed


def _located(registrations: Sequence[Registration], images: Sequence[Grey], coarsest_px: int) -> Pose:
    """In px of the camera's image. Each image has pixels half as large as the one before."""
    pose, px = NOWHERE, coarsest_px * 2
    for level, image in zip(registrations, images, strict=True):
        pose, px = level.locate(image, pose.scaled(2)), px // 2
    return pose.scaled(px)


def _find_print(quarters: Sequence[Grey], poses: Sequence[Pose]) -> Box | None:
    """Where good labels have ink: on the bright area, away from its edges, the island with most of it, with a margin.

    None if they have no ink in common, or what looks like ink is nearly everywhere.
    """
    height, width = quarters[0].shape
    often, bare = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for grey, pose in zip(quarters, poses, strict=True):
        straight = straightened(grey, pose.matrix(width, height))
        closed = _closed(straight)
        often += (1 - straight / np.maximum(closed, 1) > _MIN_INK) / np.float32(len(quarters))
        bare += closed / len(quarters)
    bright = (bare > 0.6 * np.percentile(bare, 95)).astype(np.uint8)
    side = 2 * (_MARGIN_PX // 4) + 1
    inside = cv2.erode(bright, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    often[inside == 0] = 0
    near = cv2.dilate((often > 0.1).astype(np.uint8), np.ones((9, 9), np.uint8))
    count, islands = cv2.connectedComponents(near)
    if count < 2:
        return None
    most = 1 + int(np.argmax([often[islands == island].sum() for island in range(1, count)]))
    ys, xs = np.nonzero((islands == most) & (often > 0.1))
    edges = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) * 4 + np.array([-1, -1, 1, 1]) * _MARGIN_PX
    left, top = (int(edge) // 8 * 8 for edge in np.maximum(edges[:2], 0))
    right, bottom = (int(edge) // 8 * 8 for edge in np.minimum(edges[2:] + 7, (width * 4, height * 4)))
    if (right - left) * (bottom - top) > _MOST_OF_IMAGE * 16 * width * height:
        return None
    return Box(left, top, right, bottom)
