"""One composed photo: a part on a background, a print or fault on the part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.compose.blend import Membrane, inpaint_seam
from inspectd_tools.synthetic.compose.config import Box, ComposeConfig, PlaceConfig, SeamConfig
from inspectd_tools.synthetic.compose.extraction import FAULT_CELLS, PART_CELLS, Ground, Stamp, context, fits
from inspectd_tools.synthetic.compose.photos import Background

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Assets:
    """Everything that images are composed from."""

    stamps: Mapping[str, Sequence[Stamp]]
    """Class -> its prints or faults."""
    grounds: Sequence[Ground]
    backgrounds: Sequence[Background]


@dataclass(frozen=True, slots=True)
class Composed:
    """`image` and `mask` (255 on the ink or fault): (h, w) uint8."""

    image: Grey
    mask: Grey
    stamp: Stamp
    ground: Ground
    background: Path | None
    parameters: dict[str, object]


def compose(class_: str, assets: Assets, config: ComposeConfig, rng: np.random.Generator) -> Composed:
    """Compose one image. The same generator state gives the same bytes."""
    stamps, place = assets.stamps[class_], config.classes[class_].place
    stamp = stamps[int(rng.integers(len(stamps)))]
    ground = assets.grounds[int(rng.integers(len(assets.grounds)))]
    while not fits(stamp, ground):
        ground = assets.grounds[int(rng.integers(len(assets.grounds)))]
    image, body, background, where = bare_part(ground, assets.backgrounds, config, rng)
    turn = float(rng.uniform(*place.turn_deg))
    flip = bool(rng.random() < place.flip)
    grey, mask = _turned(stamp.grey, turn, flip, None), _turned(stamp.mask, turn, flip, 0)
    ink = _turned(stamp.ink, turn, flip, 255) if stamp.ink is not None else None
    box = cv2.boundingRect(mask)
    left, top = _place(box[2:], stamp, body, place, flip, rng)
    shown = _paste(image, (left - box[0], top - box[1]), grey, mask, ink, config.seam)
    parameters = {"turn_deg": round(turn, 2), "flip": flip, "left": left, "top": top, **where, **stamp.found}
    return Composed(image, shown, stamp, ground, background, parameters)


def bare_part(
    ground: Ground, backgrounds: Sequence[Background], config: ComposeConfig, rng: np.random.Generator
) -> tuple[Grey, Box, Path | None, dict[str, object]]:
    """A photo of a part without a print, the box of its body, the file of the background, and the position of the part."""
    if config.part is None or ground.cut is None or ground.mask is None or ground.membrane is None:
        return ground.image.copy(), ground.body, None, {}
    background = backgrounds[int(rng.choice(ground.alike))]
    rows, columns = context(ground.cut, ground.image, PART_CELLS)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    image = background.image.copy()
    where = (columns.start, rows.start)
    left = _shifted(rng, where[0], config.part.jitter_px, 0, image.shape[1] - width)
    low, high = config.part.top_px, image.shape[0] - config.part.bottom_px - height
    top = min(max(_shifted(rng, where[1], config.part.jitter_px, low, high), 0), image.shape[0] - height)
    target, part = image[top : top + height, left : left + width], ground.image[rows, columns]
    if config.seam.method == "poisson":
        target[:] = ground.membrane.blend(target, part)
    else:
        target[ground.mask > 0] = part[ground.mask > 0]
        target[:] = inpaint_seam(target, ground.mask, config.seam.part_px, config.seam.part_radius_px)
    dx, dy = left - columns.start, top - rows.start
    body = (ground.body[0] + dx, ground.body[1] + dy, *ground.body[2:])
    return image, body, background.photo, {"part_left": left, "part_top": top}


def _turned(layer: Grey, degrees: float, flip: bool, fill: int | None) -> Grey:
    """Mirror the layer if `flip`, then turn it clockwise about its middle, in a box that holds all of it.

    `fill`: grey value of the corners; None repeats the edge.
    """
    if flip:
        layer = cv2.flip(layer, 1)
    if degrees == 0:
        return layer
    height, width = layer.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(width * cos + height * sin)), int(np.ceil(width * sin + height * cos)))
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    return cv2.warpAffine(layer, matrix, size, borderMode=border, borderValue=fill or 0)


def _place(
    size: tuple[int, int], stamp: Stamp, body: Box, place: PlaceConfig, flip: bool, rng: np.random.Generator
) -> tuple[int, int]:
    """Left and top of the pasted pixels in the image."""
    (width, height), margin = size, place.margin_px
    shift = rng.uniform(-place.jitter_px, place.jitter_px, 2)
    x_share = 1 - stamp.centre[0] if flip else stamp.centre[0]
    left = body[0] + x_share * body[2] - width / 2 + shift[0]
    top = body[1] + stamp.centre[1] * body[3] - height / 2 + shift[1]
    low, high = (body[0] + margin, body[1] + margin), (body[0] + body[2] - margin, body[1] + body[3] - margin)
    if place.where == "anywhere":
        left, top = _between(rng, low[0], high[0] - width), _between(rng, low[1], high[1] - height)
    left = body[0] if place.where == "left_edge" else _kept(left, low[0], high[0] - width)
    return round(left), round(_kept(top, low[1], high[1] - height))


def _paste(image: Grey, at: tuple[int, int], grey: Grey, mask: Grey, ink: Grey | None, seam: SeamConfig) -> Grey:
    """Paste into `image`, which is changed. Returns (h, w): the part of `mask` that is inside the image."""
    height, width = mask.shape
    top, left = max(0, at[1]), max(0, at[0])
    bottom, right = min(image.shape[0], at[1] + height), min(image.shape[1], at[0] + width)
    inside = (slice(top - at[1], bottom - at[1]), slice(left - at[0], right - at[0]))
    target = image[top:bottom, left:right]
    grey, mask = np.ascontiguousarray(grey[inside]), np.ascontiguousarray(mask[inside] > 127).view(np.uint8) * 255
    if seam.method == "inpaint":
        target[mask > 0] = grey[mask > 0]
        target[:] = inpaint_seam(target, mask, seam.label_px, seam.label_px)
    elif ink is not None:
        target[:] = cv2.multiply(target, np.ascontiguousarray(ink[inside]), scale=1 / 255)
    else:
        target[:] = Membrane(mask, FAULT_CELLS, seam.label_px).blend(target, grey)
    shown = np.zeros_like(image)
    shown[top:bottom, left:right] = mask
    return shown


def _between(rng: np.random.Generator, low: float, high: float) -> int:
    """A random whole number; the middle if `high` is not above `low`."""
    return int(rng.integers(round(low), round(high) + 1)) if high > low else round((low + high) / 2)


def _shifted(rng: np.random.Generator, start: int, jitter_px: int | None, low: int, high: int) -> int:
    if jitter_px is None:
        return _between(rng, low, high)
    return round(_kept(start + float(rng.uniform(-jitter_px, jitter_px)), low, high))


def _kept(value: float, low: float, high: float) -> float:
    return min(max(value, low), high) if high > low else (low + high) / 2
