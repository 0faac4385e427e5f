"""Small faults, put into photos of good labels: lost ink, spatter, scratches, and print that is turned or shifted.

The photo is not rendered again. Ink is removed as `compose` removes it: the surface without ink, with its texture, takes its
place. Ink that is added is as dark as the darkest ink of the same photo. All edges are as soft as a lens makes them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.compose.config import GroundConfig, InkConfig
from inspectd_tools.synthetic.compose.ink import grown, ink_mask, surface, textured, transmittance

Grey = NDArray[np.uint8]
Share = NDArray[np.float32]
Kind = Literal["lost ink", "spatter", "scratch", "turned print", "shifted print"]

SCRATCH_PX: Final = 200
"""Length of a scratch."""
_INK = InkConfig(grey=(0, 255))
_GROUND = GroundConfig(classes=("good",))
_MARGIN_PX = 64
"""Surface around the print that is kept, for its texture and for what reaches over the edge of the print."""
_NEAR_PX = 36
"""Strokes that are nearer belong together."""
_SPECK = 0.05
"""Strokes that together have less than this share of the ink are dirt, not print."""
_LENS_SIGMA_PX = 0.7
_TRIES = 200


@dataclass(frozen=True, slots=True)
class SmallFault:
    kind: Kind
    size: float
    """px: side of the lost square, diameter of the spatter, width of the scratch, shift; degrees: turn."""

    def __str__(self) -> str:
        match self.kind:
            case "lost ink":
                return f"ink lost in a square of {self.size:g} px"
            case "spatter":
                return f"spatter of ink, {self.size:g} px across"
            case "scratch":
                return f"scratch through the print, {self.size:g} px wide, {SCRATCH_PX} px long"
            case "turned print":
                return f"print turned by {self.size:g} degrees more"
            case "shifted print":
                return f"print shifted by {self.size:g} px more"


_SIZES: Final[dict[Kind, tuple[float, ...]]] = {
    "lost ink": (16, 24, 32, 48),
    "spatter": (8, 16, 32),
    "scratch": (2, 3, 5),
    "turned print": (3, 5),
    "shifted print": (15, 25),
}
SMALL_FAULTS: Final = tuple(SmallFault(kind, size) for kind, sizes in _SIZES.items() for size in sizes)


@dataclass(frozen=True, slots=True)
class Print:
    """The print of a photo. All arrays but `photo` (h, w): what `area` cuts out of the photo."""

    photo: Grey
    area: tuple[slice, slice]
    region: Grey
    """255 on the rectangle around the print."""
    ink: Grey
    """255 on ink."""
    bare: Grey
    """The surface without the print."""
    darkest: float
    """Share of the light that the darkest ink reflects."""


@dataclass(frozen=True, slots=True)
class Seeded:
    image: Grey
    """(h, w) uint8, the photo with the fault."""
    mask: Share
    """(h, w) 0..1: where the fault is. For a turned or shifted print: all of its ink, before and after."""


def find_print(photo: Grey) -> Print:
    """(h, w) uint8 -> its print: the ink on the bright part. Raises ValueError if there is none."""
    bare = surface(photo, _INK)
    part = (bare > 0.6 * np.percentile(bare, 95)).astype(np.uint8) * 255
    edge = np.ones((_INK.stroke_px // 2 * 2 + 1,) * 2, np.uint8)
    part = cv2.erode(part, edge, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    ink = ink_mask(photo, _INK) & part
    if not ink.any():
        raise ValueError("no print found: nothing on the bright part is darker than the surface around it")
    _, islands = cv2.connectedComponents(cv2.dilate(ink, np.ones((_NEAR_PX, _NEAR_PX), np.uint8)))
    shares = np.bincount(islands[ink > 0]) / cv2.countNonZero(ink)
    ink[~np.isin(islands, np.flatnonzero(shares >= _SPECK))] = 0
    corners = cv2.boxPoints(cv2.minAreaRect(cv2.findNonZero(ink)))
    region = np.zeros_like(photo)
    cv2.fillPoly(region, [np.round(corners).astype(np.int32)], 255)
    left, top, width, height = cv2.boundingRect(region)
    area = (
        slice(max(0, top - _MARGIN_PX), top + height + _MARGIN_PX),
        slice(max(0, left - _MARGIN_PX), left + width + _MARGIN_PX),
    )
    crop, ink, region = photo[area], ink[area], region[area]
    inked = ink > 0
    darkest = float(np.percentile(crop[inked] / np.maximum(bare[area][inked], 1.0), 5))
    soft = grown(ink, _INK.grow_px)
    return Print(photo, area, region, ink, textured(crop, soft, part[area], _GROUND), darkest)


def put_in(label: Print, fault: SmallFault, rng: np.random.Generator) -> Seeded:
    """The photo of `label` with `fault` at a random place of the print. Raises ValueError if there is no place for it."""
    if fault.kind in ("turned print", "shifted print"):
        crop, mask = _moved(label, fault, rng)
    else:
        mask = _placed(label, fault, rng)
        photo = label.photo[label.area].astype(np.float32)
        dark = np.minimum(photo, label.bare * label.darkest)
        crop = photo + (cv2.GaussianBlur(mask, (0, 0), _LENS_SIGMA_PX)) * (
            (dark if fault.kind == "spatter" else label.bare) - photo
        )
    image, whole = label.photo.copy(), np.zeros(label.photo.shape, np.float32)
    image[label.area] = np.clip(crop + 0.5, 0, 255).astype(np.uint8)
    whole[label.area] = mask
    return Seeded(image, whole)


def _placed(label: Print, fault: SmallFault, rng: np.random.Generator) -> Share:
    """A mask that covers enough of what it must cover: ink for lost ink and a scratch, bare surface for spatter."""
    inked = label.ink > 0
    shape: Callable[[NDArray[np.float64], float, np.random.Generator], NDArray[np.float64]]
    match fault.kind:
        case "lost ink":
            shape, where, enough = _square, inked, lambda covered: covered > 0
        case "spatter":
            shape, where, enough = _blot, grown(label.region, 10) > 0, lambda covered: covered <= 0.5
        case _:
            shape, where, enough = _stroke, label.region > 0, lambda covered: covered >= 0.15
    rows, columns = np.nonzero(where)
    for _ in range(_TRIES):
        place = int(rng.integers(len(rows)))
        mask = _filled(shape(np.array([columns[place], rows[place]], np.float64), fault.size, rng), label.ink.shape)
        if enough(float(mask[inked].sum() / mask.sum())):
            return mask
    raise ValueError(f"no place found for this fault: {fault}")


def _square(centre: NDArray[np.float64], side: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return centre + side / 2 * np.sqrt(2) * _circle(4, rng.uniform(0, np.pi / 2))


def _blot(centre: NDArray[np.float64], across: float, rng: np.random.Generator) -> NDArray[np.float64]:
    bumps = np.convolve(rng.standard_normal(28), np.ones(5) / 5, "valid")
    return centre + across / 2 * (1 + 0.15 * bumps)[:, None] * _circle(24, 0)


def _stroke(centre: NDArray[np.float64], width: float, rng: np.random.Generator) -> NDArray[np.float64]:
    along = _circle(1, rng.uniform(0, np.pi))[0]
    ends = centre + np.array([[-0.5], [0.5]]) * SCRATCH_PX * along
    across = width / 2 * np.array([-along[1], along[0]])
    return np.vstack([ends - across, ends[::-1] + across])


def _circle(count: int, start: float) -> NDArray[np.float64]:
    """(count, 2) points on the unit circle."""
    angles = start + np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _filled(corners: NDArray[np.float64], shape: tuple[int, ...]) -> Share:
    """(h, w) 0..1: the share of each pixel that is inside the polygon."""
    fraction_bits = 4
    fine = 4  # drawn four times as large: OpenCV's own smooth edges make thin lines too wide
    mask = np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)
    scaled = (corners + 0.5) * fine - 0.5
    cv2.fillPoly(mask, [np.round(scaled * 2**fraction_bits).astype(np.int32)], 255, shift=fraction_bits)
    small = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _moved(label: Print, fault: SmallFault, rng: np.random.Generator) -> tuple[Share, Share]:
    """The print, lifted off and put back turned about its centre or shifted; and where ink was or is."""
    height, width = label.ink.shape
    soft = grown(label.ink, _INK.grow_px)
    reflected = transmittance(label.photo[label.area], label.bare, soft).astype(np.float32) / 255
    left, top, across, down = cv2.boundingRect(label.region)
    turn = float(rng.choice((-1, 1)) * fault.size) if fault.kind == "turned print" else 0.0
    move = cv2.getRotationMatrix2D((left + across / 2, top + down / 2), -turn, 1)
    if fault.kind == "shifted print":
        move[:, 2] += fault.size * _circle(1, rng.uniform(0, 2 * np.pi))[0]
    there = cv2.warpAffine(reflected, move, (width, height), flags=cv2.INTER_LINEAR, borderValue=1.0)
    now = cv2.warpAffine(label.ink, move, (width, height), flags=cv2.INTER_NEAREST)
    return label.bare * there, (label.ink | now).astype(np.float32) / 255
