"""Put a small fault into a photo.

The photo is not rendered again. Ink is removed as `compose` removes it: the surface without ink, with its texture, takes its
place. Ink that is added is as dark as the darkest ink of the same photo. All edges are as soft as a lens makes them.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.inference.preprocess import to_grey
from inspectd.part import Image
from inspectd_tools.synthetic.compose.ink import grown
from inspectd_tools.synthetic.small_faults.fault import KINDS, Kind, SmallFault
from inspectd_tools.synthetic.small_faults.shapes import Points, Share, blot, circle, filled, line, square
from inspectd_tools.synthetic.small_faults.subject import INK, Grey, Print, Subject

SPOT: Final = 0.5
"""Share of the light that a speck reflects where no print says how dark dirt is."""
_SCRATCH = 0.35
"""So much brighter or darker is a scratch on a surface without print."""
_DENT = 0.3
"""So much brighter and darker are the sides of a dent."""
_STEEPEST = 16 / 25 / np.sqrt(5)
"""The largest value of r * (1 - r**2)**2, so that the shading of a dent goes from -1 to 1."""
_WET = 0.8
"""Darkness of a smear beside the stroke that it comes from."""
_BESIDE_PX = 10
"""So far outside of the print spatter may be."""
_COVERED: Final[dict[Kind, tuple[float, float]]] = {
    "lost ink": (0.02, 1),
    "spatter": (0, 0.5),
    "broken nozzle": (0.1, 1),
    "scratch": (0.15, 1),
}
"""The share of the fault's area that has ink."""
_LENS_SIGMA_PX = 0.7
_TRIES = 200

Light = NDArray[np.float32]
"""Like the photo, 0..255 or a share of it."""


@dataclass(frozen=True, slots=True)
class Seeded:
    image: Image
    """The photo with the fault."""
    mask: Share
    """(h, w) 0..1: where the fault is. For a turned or shifted print: all of its ink, before and after."""
    fault: SmallFault
    """With the size that it has in fact."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width, height in px around the fault."""
        left, top, width, height = cv2.boundingRect((self.mask > 0.02).astype(np.uint8))
        return left, top, width, height


def sizes_for(subject: Subject, kind: Kind) -> tuple[float, float]:
    """Smallest and largest size to try. Raises ValueError if this photo can't get this kind."""
    if kind != "missing character":
        return KINDS[kind].tried(min(subject.photo.shape[:2]))
    areas = [cv2.countNonZero(one) for one in subject.characters] if isinstance(subject, Print) else []
    if not areas:
        raise ValueError("no character found on this photo")
    return min(areas), max(areas)


def put_in(subject: Subject, fault: SmallFault, rng: np.random.Generator) -> Seeded:
    """The photo with `fault` at a random place. Raises ValueError if there is no place for it, or no print but it needs one.

    A turned print has the angle `fault.size` against its usual one (`Print.lies`), a shifted print this distance from its
    usual place. A missing character is the one whose ink is nearest to the size.
    """
    if not isinstance(subject, Print):
        if KINDS[fault.kind].needs_print:
            raise ValueError(f"{fault}: needs a print, and there is none on this photo")
        return _on_surface(subject.photo, np.full(subject.photo.shape[:2], 255, np.uint8), SPOT, fault, rng)
    if fault.kind in ("speck", "dent", "blur"):
        return _on_surface(subject.photo, subject.part, subject.darkest, fault, rng)
    crop, mask = _on_print(subject, fault, rng)
    image, whole = subject.photo.copy(), np.zeros(subject.photo.shape[:2], np.float32)
    image[subject.area] = np.clip(crop + 0.5, 0, 255).astype(np.uint8)
    whole[subject.area] = mask
    if fault.kind == "missing character":
        fault = SmallFault(fault.kind, float(np.sum(mask[subject.ink > 0])))
    return Seeded(image, whole, fault)


def _on_print(label: Print, fault: SmallFault, rng: np.random.Generator) -> tuple[Light, Share]:
    """What `label.area` shows then, and where the fault is."""
    if fault.kind in ("turned print", "shifted print"):
        return _moved(label, fault, rng)
    if fault.kind == "smear":
        return _smeared(label, fault.size, rng)
    photo, bare = label.photo[label.area].astype(np.float32), label.bare.astype(np.float32)
    match fault.kind:
        case "fading":
            mask, other, share = _share(grown(label.ink, INK.grow_px)), bare, fault.size / 100
        case "missing character":
            mask, other, share = _character(label, fault.size), bare, 1.0
        case "spatter":
            mask, other, share = _placed(label, fault, rng), np.minimum(photo, bare * label.darkest), 1.0
        case _:
            mask, other, share = _placed(label, fault, rng), bare, 1.0
    crop: Light = photo + _like(_softened(mask), photo) * np.float32(share) * (other - photo)
    return crop, mask


def _character(label: Print, area_px: float) -> Share:
    """The character with the most similar area, with its soft edges, but without those of its neighbours."""
    nearest = min(label.characters, key=lambda one: abs(cv2.countNonZero(one) - area_px))
    others = cv2.bitwise_and(label.ink, cv2.bitwise_not(nearest))
    return _share(cv2.bitwise_and(grown(nearest, INK.grow_px), cv2.bitwise_not(grown(others, 1))))


def _placed(label: Print, fault: SmallFault, rng: np.random.Generator) -> Share:
    """A mask at a random place, of which ink covers a share within `_COVERED`."""
    inked = label.ink > 0
    low, high = _COVERED[fault.kind]
    where = {"lost ink": label.ink, "spatter": grown(label.region, _BESIDE_PX)}.get(fault.kind, label.region)
    rows, columns = np.nonzero(where)
    for _ in range(_TRIES):
        place = int(rng.integers(len(rows)))
        mask = _drawn(label, fault, np.array([columns[place], rows[place]], np.float64), rng)
        if low <= float(mask[inked].sum() / max(float(mask.sum()), 1e-6)) <= high:
            return mask
    raise ValueError(f"no place found for this fault: {fault}")


def _drawn(label: Print, fault: SmallFault, centre: Points, rng: np.random.Generator) -> Share:
    shape = label.ink.shape
    match fault.kind:
        case "lost ink":
            return filled(square(centre, fault.size, rng), shape)
        case "spatter":
            return filled(blot(centre, fault.size, rng), shape)
        case "broken nozzle":
            return line(centre, fault.size, 2 * sum(shape), _text_angle(label), shape) * (label.region > 0)
        case _:
            return line(centre, fault.size, scratch_px(label.photo), rng.uniform(0, np.pi), shape)


def scratch_px(photo: Image) -> float:
    """Length of a scratch."""
    return float(np.hypot(*photo.shape[:2])) / 4


def _text_angle(label: Print) -> float:
    """Direction of the lines of text in radians: that side of the rectangle around the print that is nearest to horizontal."""
    angle = cv2.minAreaRect(cv2.findNonZero(label.region))[2]
    return float(np.deg2rad((angle + 45) % 90 - 45))


def _smeared(label: Print, drag_px: float, rng: np.random.Generator) -> tuple[Light, Share]:
    """The ink of one place, a third of the print wide, dragged along a direction; it fades on its way."""
    reflected = _reflected(label)
    dark = 1 - reflected
    along = circle(1, rng.uniform(0, 2 * np.pi))[0]
    dragged, size = dark.copy(), label.ink.shape[::-1]
    steps = int(np.ceil(drag_px))
    for step in range(1, steps + 1):
        away = step * drag_px / steps
        there = np.array([[1, 0, away * along[0]], [0, 1, away * along[1]]])
        dragged = np.maximum(dragged, cv2.warpAffine(dark, there, size) * _WET * (1 - 0.8 * step / (steps + 1)))
    rows, columns = np.nonzero(label.ink)
    place = int(rng.integers(len(rows)))
    across = max(cv2.minAreaRect(cv2.findNonZero(label.region))[1]) / 3
    spot = filled(blot(np.array([columns[place], rows[place]], np.float64), across, rng), label.ink.shape)
    spot = cv2.GaussianBlur(spot, (0, 0), 6)
    more = _like(spot, dark) * (dragged - dark)
    light = label.photo[label.area].astype(np.float32) - label.bare.astype(np.float32) * more
    strongest = more if more.ndim == 2 else more.max(axis=2)
    return light, (strongest > 0.02).astype(np.float32)


def _moved(label: Print, fault: SmallFault, rng: np.random.Generator) -> tuple[Light, Share]:
    """The print, lifted off and put back where it lies as far from its usual place as asked; and where ink was or is."""
    left, top, across, down = cv2.boundingRect(label.region)
    lies, turn = label.lies, 0.0
    if fault.kind == "turned print":
        way = np.sign(lies.angle_deg) or rng.choice((-1, 1))
        turn = float(way * fault.size - lies.angle_deg)
    move = cv2.getRotationMatrix2D((left + (across - 1) / 2, top + (down - 1) / 2), -turn, 1)
    if fault.kind == "shifted print":
        move[:, 2] += fault.size * circle(1, rng.uniform(0, 2 * np.pi))[0] - (lies.x_px, lies.y_px)
    size = label.ink.shape[::-1]
    there = cv2.warpAffine(_reflected(label), move, size, flags=cv2.INTER_CUBIC, borderValue=(1.0, 1.0, 1.0))
    now = cv2.warpAffine(label.ink, move, size, flags=cv2.INTER_NEAREST)
    return label.bare * np.clip(there, 0, 1), _share(label.ink | now)


def _reflected(label: Print) -> Light:
    """The ink alone: the share of the light that it reflects; 1 where there is no ink."""
    ink = _like(_share(grown(label.ink, INK.grow_px)), label.bare) > 0
    share = label.photo[label.area].astype(np.float32) / np.maximum(label.bare, 1)
    reflected: Light = np.where(ink, np.clip(share, 0, 1), 1).astype(np.float32)
    return reflected


def _on_surface(photo: Image, part: Grey, spot: float, fault: SmallFault, rng: np.random.Generator) -> Seeded:
    """`part`: 255 where the fault may be; `spot`: share of the light that a speck reflects."""
    if fault.kind == "blur":
        return Seeded(_blurred(photo, fault.size, rng), np.ones(part.shape, np.float32), fault)
    rows, columns = np.nonzero(part)
    if not len(rows):
        raise ValueError(f"no place found for this fault: {fault}")
    place = int(rng.integers(len(rows)))
    centre = np.array([columns[place], rows[place]], np.float64)
    match fault.kind:
        case "dent":
            mask, gain = _dent(centre, fault.size, part.shape, rng)
        case "scratch":
            mask = line(centre, fault.size, scratch_px(photo), rng.uniform(0, np.pi), part.shape)
            gain = 1 + np.float32(rng.choice((-_SCRATCH, _SCRATCH))) * _softened(mask)
        case _:
            mask = filled(blot(centre, fault.size, rng), part.shape)
            gain = 1 - np.float32(1 - spot) * _softened(mask)
    image = np.clip(photo * _like(gain, photo) + 0.5, 0, 255).astype(np.uint8)
    return Seeded(image, mask, fault)


def _dent(
    centre: Points, across: float, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[Share, NDArray[np.float32]]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * 2 / across
    x, y = x - 2 * centre[0] / across, y - 2 * centre[1] / across
    light = circle(1, rng.uniform(0, 2 * np.pi))[0]
    inside = np.maximum(1 - x**2 - y**2, 0)
    slope = (x * light[0] + y * light[1]) * inside**2 / _STEEPEST
    return (inside > 0).astype(np.float32), (1 + _DENT * slope).astype(np.float32)


def _blurred(photo: Image, sigma_px: float, rng: np.random.Generator) -> Image:
    """Out of focus; the sensor's noise, which no lens blurs, stays as strong as it was."""
    soft = cv2.GaussianBlur(photo.astype(np.float32), (0, 0), sigma_px)
    left = min(1.0, 1 / (4 * np.pi * sigma_px**2))
    noise = _noise(to_grey(photo)) * np.sqrt(1 - left) * rng.standard_normal(photo.shape, np.float32)
    image: Image = np.clip(soft + noise + 0.5, 0, 255).astype(np.uint8)
    return image


def _noise(grey: Grey) -> float:
    """Standard deviation of the noise, where the photo is smoothest (Immerkaer, CVIU 64, 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    squares = cv2.filter2D(grey.astype(np.float32), -1, kernel) ** 2
    return float(np.sqrt(np.percentile(cv2.blur(squares, (15, 15)), 5))) / 6


def _share(mask: Grey) -> Share:
    return mask.astype(np.float32) / np.float32(255)


def _softened(mask: Share) -> Share:
    soft: Share = cv2.GaussianBlur(mask, (0, 0), _LENS_SIGMA_PX)
    return soft


def _like(mask: Share, photo: NDArray[np.uint8] | Light) -> Light:
    """A mask (h, w) that can be multiplied with a grey or colour photo."""
    return mask if photo.ndim == 2 else mask[:, :, None]
