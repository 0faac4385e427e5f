"""Take apart one photo: its print or fault, and its part without the print."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd_tools.synthetic.compose.blend import Membrane
from inspectd_tools.synthetic.compose.config import Box, ComposeConfig, FindConfig, InkConfig, JoinedConfig, PartConfig
from inspectd_tools.synthetic.compose.ink import grown, ink_mask, inpainted, surface, textured, transmittance
from inspectd_tools.synthetic.compose.matching import Found, Template, find
from inspectd_tools.synthetic.compose.photos import Background, Source, read_grey

Grey = NDArray[np.uint8]
_TEXTURE_PX = 56
PART_CELLS = 28
FAULT_CELLS = 14
"""Number of cells along the longer side of what is blended. A fault has few, because it is solved again for every image."""
_THUMBNAIL = (160, 120)
_EDGE_PX = 8
"""Texture is not copied from this strip along the edge of the part."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A print or a fault, cut from a photo. All arrays (h, w) uint8."""

    photo: Path
    class_: str
    grey: Grey
    mask: Grey
    """255 on the ink or fault."""
    ink: Grey | None
    """For a print: the share of light that the ink reflects, 255 where there is no ink. None for a fault, which is pasted as it
    is."""
    centre: tuple[float, float]
    """Centre of the mask, as shares of the body of the part."""
    found: dict[str, object]


@dataclass(frozen=True, slots=True)
class Ground:
    """A photo without its print: `image` (h, w) uint8."""

    photo: Path
    image: Grey
    body: Box
    cut: Box | None
    """What is cut out and put onto a background; None: the part stays in its photo."""
    mask: Grey | None
    """Shape of the cut, in its box and the strip around it."""
    membrane: Membrane | None
    """Made for this `mask`."""
    alike: tuple[int, ...]
    """Indices of the backgrounds that are most similar to what is around the part."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one photo gives."""

    source: Source
    stamp: Stamp | None
    ground: Ground | None
    discards: tuple[str, ...]
    """Why there is no stamp or ground."""
    outline: NDArray[np.float32] | None
    """(4, 2) corners of the label found."""


class _DiscardError(Exception):
    """A photo gives nothing; the message says why."""


def prepare(
    source: Source, config: ComposeConfig, templates: dict[str, Template], backgrounds: Sequence[Background]
) -> Prepared:
    """Take everything out of one photo. If it gives nothing, `discards` says why."""
    outline = None
    stamp = ground = None
    try:
        image = read_grey(source.path)
        part = _part(image, config.part, config.ink, templates) if config.part else _whole(image)
        class_ = config.classes.get(source.class_)
        bare = image
        if class_ is not None and class_.find is not None:
            found = _find(image, class_.find, templates, "label")
            outline = found.corners(found.template.label)
            stamp, bare = _lift_print(source, image, part, found, class_.find, config)
        elif class_ is not None and config.masks is not None:
            stamp = _cut_fault(source, image, config.masks)
        if source.class_ in config.ground.classes:
            if stamp is not None and stamp.ink is None:
                raise _DiscardError("ground: has a fault, which cannot be removed")
            ground = _ground(source, bare, part, config, backgrounds)
    except (ConfigError, _DiscardError) as error:
        return Prepared(source, stamp, ground, (str(error),), outline)
    return Prepared(source, stamp, ground, (), outline)


def context(cut: Box, image: Grey, cells: int) -> tuple[slice, slice]:
    """Rows and columns of a cut-out with the strip of one cell around it that blending needs, as far as the image reaches."""
    left, top, width, height = cut
    strip = 1 + math.ceil(max(width, height) / (cells - 2))
    rows = slice(max(0, top - strip), min(image.shape[0], top + height + strip))
    return rows, slice(max(0, left - strip), min(image.shape[1], left + width + strip))


def _find(image: Grey, config: FindConfig, templates: dict[str, Template], what: str) -> Found:
    found = find(
        image, [templates[name] for name in config.templates], config.angle_deg, config.scale, config.within_px
    )
    if found.score < config.min_score:
        raise _DiscardError(
            f"{what}: best match {found.score:.2f} (template {found.template.name}) is below min_score {config.min_score:g}"
        )
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    body: Box
    cut: Grey | None
    """(h, w) 255 on the body, the joined piece, what is between them, and the margin; None: the part stays in its photo."""
    printable: Grey
    """(h, w) 255 on the body, except its outermost edge and the joined piece."""


def _whole(image: Grey) -> _Part:
    return _Part((0, 0, *image.shape[::-1]), None, np.full_like(image, 255))


def _part(image: Grey, config: PartConfig, ink: InkConfig, templates: dict[str, Template]) -> _Part:
    """The body is searched with the print removed, because the print is different on every part."""
    found = _find(surface(image, ink), config.body, templates, "body")
    corners = found.corners(found.template.label)
    body = _bounds(corners, image, 0)
    cut = np.zeros_like(image)
    cv2.fillPoly(cut, [np.round(corners).astype(np.int32)], 255)
    printable = cv2.erode(cut, _square(2 * ink.grow_px))
    if config.joined is not None:
        piece = _joined(image, config.joined, templates)
        left, top, width, height = _bounds(piece, image, 2 * ink.grow_px)
        printable[top : top + height, left : left + width] = 0
        # including everything between it and the middle of the body
        hull = cv2.convexHull(np.vstack([piece, corners.mean(axis=0)]).astype(np.float32))
        cv2.fillConvexPoly(cut, np.round(hull).astype(np.int32), 255)
    return _Part(body, grown(cut, config.margin_px), printable)


def _joined(image: Grey, config: JoinedConfig, templates: dict[str, Template]) -> NDArray[np.float32]:
    """(4, 2) corners of the best match that is dark enough."""
    matches = [find(image, [templates[name]], (0, 0), config.scale) for name in config.templates]
    reasons = []
    for found in sorted(matches, key=lambda found: -found.score):
        corners = found.corners(found.template.label)
        left, top, width, height = _bounds(corners, image, 0)
        dark = int((image[top : top + height, left : left + width] < config.dark_below).sum())
        low, high = config.dark_px
        if found.score >= config.min_score and low <= dark <= high:
            return corners
        reasons.append(f"{found.template.name} matches {found.score:.2f} with {dark} dark pixels")
    raise _DiscardError(
        f"joined: {', '.join(reasons)}; min_score is {config.min_score:g}, allowed dark pixels: {low:g} to {high:g}"
    )


def _lift_print(
    source: Source, image: Grey, part: _Part, found: Found, config: FindConfig, whole: ComposeConfig
) -> tuple[Stamp, Grey]:
    """The print, and the photo without it."""
    corners = found.corners(found.template.label)
    left, top, width, height = _bounds(corners, image, _TEXTURE_PX)
    area = (slice(top, top + height), slice(left, left + width))
    crop = image[area]
    searched = np.zeros_like(crop)
    cv2.fillPoly(searched, [np.round(corners - (left, top)).astype(np.int32)], 255)
    searched = grown(searched, 2 * whole.ink.grow_px) & part.printable[area]
    core = ink_mask(crop, whole.ink) & searched
    low, high = config.ink_px
    if not low <= (n := cv2.countNonZero(core)) <= high:
        raise _DiscardError(f"label: {n} pixels of ink; allowed: {low:g} to {high:g}")
    mask = grown(core, whole.ink.grow_px)
    smooth = inpainted(crop, mask, whole.ground)
    bare = image.copy()
    usable = cv2.erode(part.printable, _square(_EDGE_PX))[area]
    bare[area] = textured(crop, mask, usable, whole.ground) if whole.ground.texture else smooth
    box = cv2.boundingRect(mask)
    inside = (slice(box[1], box[1] + box[3]), slice(box[0], box[0] + box[2]))
    stamp = Stamp(
        source.path,
        source.class_,
        np.ascontiguousarray(crop[inside]),
        np.ascontiguousarray(core[inside]),
        np.ascontiguousarray(transmittance(crop, smooth, mask)[inside]),
        _share((left + box[0] + box[2] / 2, top + box[1] + box[3] / 2), part.body),
        {
            "template": found.template.name,
            "score": round(found.score, 3),
            "angle_deg": round(found.angle_deg, 2),
            "scale": round(found.scale, 4),
        },
    )
    return stamp, bare


def _cut_fault(source: Source, image: Grey, masks: Path) -> Stamp:
    path = masks / source.class_ / f"{source.path.stem}.png"
    mask = (read_grey(path) > 127).astype(np.uint8) * 255
    if mask.shape != image.shape:
        raise _DiscardError(f"{path}: is {mask.shape[1]}x{mask.shape[0]}, its photo {image.shape[1]}x{image.shape[0]}")
    if not mask.any():
        raise _DiscardError(f"{path}: no fault is marked")
    box = cv2.boundingRect(mask)
    area = context(box, image, FAULT_CELLS)
    whole = (0, 0, *image.shape[::-1])
    centre = _share((box[0] + box[2] / 2, box[1] + box[3] / 2), whole)
    return Stamp(
        source.path,
        source.class_,
        np.ascontiguousarray(image[area]),
        np.ascontiguousarray(mask[area]),
        None,
        centre,
        {},
    )


def _ground(
    source: Source, bare: Grey, part: _Part, config: ComposeConfig, backgrounds: Sequence[Background]
) -> Ground:
    if part.cut is None or not backgrounds:
        return Ground(source.path, bare, part.body, None, None, None, ())
    left, top, width, height = cv2.boundingRect(part.cut)
    cut = (left, top, width, height)
    mask = np.ascontiguousarray(part.cut[context(cut, bare, PART_CELLS)])
    membrane = Membrane(mask, PART_CELLS, config.seam.part_px)
    return Ground(source.path, bare, part.body, cut, mask, membrane, _alike(bare, part.cut, backgrounds))


def _alike(image: Grey, cut: Grey, backgrounds: Sequence[Background]) -> tuple[int, ...]:
    """The eighth of all backgrounds that differs least from what is around the part, so that the seam is least visible."""
    around = cv2.resize(cut, _THUMBNAIL, interpolation=cv2.INTER_AREA) == 0
    if not around.any():
        return tuple(range(len(backgrounds)))
    small = cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA)[around].astype(float)
    off = [
        np.square(cv2.resize(background.image, _THUMBNAIL, interpolation=cv2.INTER_AREA)[around] - small).mean()
        for background in backgrounds
    ]
    return tuple(np.argsort(off, kind="stable")[: -(-len(backgrounds) // 8)].tolist())


def _bounds(corners: NDArray[np.float32], image: Grey, margin_px: int) -> Box:
    """The box around `corners` with a margin, clipped to the photo."""
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - margin_px, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + margin_px, image.shape[::-1])
    return int(low[0]), int(low[1]), max(1, int(high[0] - low[0])), max(1, int(high[1] - low[1]))


def _square(reach_px: int) -> Grey:
    return np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)


def _share(point: tuple[float, float], box: Box) -> tuple[float, float]:
    return (point[0] - box[0]) / box[2], (point[1] - box[1]) / box[3]


def fits(stamp: Stamp, ground: Ground) -> bool:
    """Whether the part of the ground is large enough for the stamp."""
    height, width = stamp.mask.shape
    return width <= ground.body[2] and height <= ground.body[3]
