"""What is drawn only on unknown labels: another product's print, smeared ink, ink where none should be, a scratch, oil, dirt,
an object on top.

Scene: (480, 640) grey. Ink: (480, 640), coverage 0..1. Mask: (480, 640) uint8, 255 where the fault is. Sizes are in px.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render.scene import HEIGHT_PX, WIDTH_PX, Grey

Mask = NDArray[np.uint8]

_TRIES = 100
_SCRATCH_LENGTH_PX = (120, 260)
_MARGIN_PX = 18
"""Specks are at least so far from the print and from the edge of the filter."""


def other_label(rng: np.random.Generator) -> Grey:
    """Ink of another product's label: other layout, a frame, a bar code."""
    ink = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    width, height = int(rng.integers(230, 330)), int(rng.integers(130, 220))
    left, top = int(rng.integers(150, 420 - width // 2)), int(rng.integers(110, 380 - height))
    cv2.rectangle(ink, (left, top), (left + width, top + height), 255, int(rng.integers(2, 6)))
    x = left + 16
    while x < left + width - 20:
        bar = int(rng.integers(2, 8))
        ink[top + 14 : top + height // 2, x : x + bar] = 255
        x += bar + int(rng.integers(2, 8))
    scale = rng.uniform(0.9, 1.4)
    text = f"{rng.choice(['BREMS', 'OIL-F', 'TYP', 'KIT'])} {rng.integers(100, 999)}"
    cv2.putText(ink, text, (left + 14, top + height - 18), cv2.FONT_HERSHEY_DUPLEX, scale, 255, 3, cv2.LINE_AA)
    return np.divide(ink, 255, dtype=np.float32)


def smeared(ink: Grey, height: float, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """`ink` after a band of this height was wiped sideways, still wet, and the mask of the band's changed places."""
    length = round(height * rng.uniform(0.35, 0.6)) + 2
    kernel = np.zeros((1, 2 * length + 1), np.float32)
    kernel[0, length:] = np.linspace(1, 0.2, length + 1)
    wiped = np.clip(cv2.filter2D(ink, -1, kernel / kernel.sum()) * rng.uniform(1.4, 2.0), 0, 1)
    inked = np.flatnonzero(ink.sum(axis=1) > 10)
    middle = int(rng.integers(inked[0] + 8, inked[-1] - 8))
    rows = np.zeros((HEIGHT_PX, 1), np.float32)
    rows[max(0, round(middle - height / 2)) : round(middle + height / 2)] = 1
    rows = cv2.blur(rows, (1, max(3, min(21, round(height / 4)))))
    changed = ink * (1 - 0.75 * rows) + np.maximum(wiped, 0.25 * ink) * rows
    return changed, _mask(np.abs(changed - ink), 0.2)


def spattered(ink: Grey, across: float, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """`ink` with a drop of this diameter near or in the print, mostly on bare fabric, and up to 5 smaller drops around it."""
    places = np.argwhere(cv2.boxFilter(ink, -1, (31, 31)) > 0.02)
    for _ in range(_TRIES):
        y, x = places[int(rng.integers(len(places)))]
        drop = _blot((x, y), across, rng)
        if (drop * ink).sum() < 0.4 * drop.sum():
            break
    for _ in range(int(rng.integers(0, 6))):
        away = rng.uniform(0.8, 3) * across * _direction(rng)
        drop = np.maximum(drop, _blot((x + away[0], y + away[1]), across * rng.uniform(0.2, 0.5), rng))
    return np.maximum(ink, drop), _mask(drop)


def scratched(ink: Grey, width: float, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """`ink` with a straight scratch of this width, which takes ink off."""
    places = np.argwhere(ink > 0.5)
    for _ in range(_TRIES):
        y, x = places[int(rng.integers(len(places)))]
        reach = rng.uniform(*_SCRATCH_LENGTH_PX) / 2 * _direction(rng)
        across = width / 2 * np.array([-reach[1], reach[0]]) / np.hypot(*reach)
        line = _polygon(np.array([x, y]) + np.array([reach - across, reach + across, across - reach, -reach - across]))
        if (line * ink).sum() > 0.15 * line.sum():
            break
    return ink * (1 - 0.95 * line), _mask(line * ink)


def specked(scene: Grey, box: Mask, fabric: Grey, across: float, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """The scene with 1 to 4 dark specks of about this diameter on the filter, outside `box` (255 on the label)."""
    kernel = np.ones((2 * _MARGIN_PX + 1, 2 * _MARGIN_PX + 1), np.uint8)
    free = cv2.erode((fabric > 0.99).astype(np.uint8), kernel) & (cv2.dilate(box, kernel) == 0)
    places = np.argwhere(free)
    specks = np.zeros_like(scene)
    for number in range(int(rng.integers(1, 5))):
        y, x = places[int(rng.integers(len(places)))]
        specks = np.maximum(specks, _blot((x, y), across * (1 if number == 0 else rng.uniform(0.5, 1)), rng))
    grey = float(rng.uniform(40, 110))
    return (scene * (1 - 0.9 * specks) + grey * 0.9 * specks).astype(np.float32), _mask(specks)


def oil_spot(scene: Grey, across: float, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """The scene with an oil spot, which darkens the fabric and lowers the contrast of the print."""
    spot = _blot(_near_middle(across, rng), across, rng, flat=0.75, soft_px=min(5.0, across / 8))
    stained = scene * (1 - 0.55 * spot)
    grey = float(rng.uniform(55, 95))
    return (stained * (1 - 0.55 * spot) + grey * 0.55 * spot).astype(np.float32), _mask(spot)


def foreign_object(scene: Grey, length: float, rng: np.random.Generator) -> tuple[Grey, Mask]:
    """The scene with something opaque on the label: a screw, a strip of tape, a ring, or crumbs of them."""
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    centre = _near_middle(length, rng)
    kind = rng.choice(["screw", "tape", "ring"])
    axis = length / 2 * _direction(rng)
    side = np.array([-axis[1], axis[0]])
    bar = np.array([axis, side, -axis, -side])
    if kind == "ring":
        across = length * rng.uniform(0.12, 0.2)
        cv2.circle(
            shape, np.round(centre).astype(int), round((length - across) / 2), 1.0, max(2, round(across)), cv2.LINE_AA
        )
    else:
        thin = rng.uniform(0.22, 0.36)
        ends = np.array([axis - thin * side, axis + thin * side, thin * side - axis, -thin * side - axis])
        shape = np.maximum(shape, _polygon(centre + ends))
    if kind == "screw":
        head = np.round(centre + 0.8 * bar[0]).astype(int)
        cv2.circle(shape, head, max(2, round(length * rng.uniform(0.18, 0.25))), 1.0, -1, cv2.LINE_AA)
    shading = cv2.GaussianBlur(shape, (0, 0), 9)
    grey = float(rng.choice([rng.uniform(20, 90), rng.uniform(140, 165)]))
    body = grey * (0.6 + 0.55 * shading)
    return (scene * (1 - shape) * (1 - 0.3 * shading) + body * shape).astype(np.float32), _mask(shape)


def _near_middle(size: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """x, y of something of this size on the label: the smaller it is, the farther from the middle it may be."""
    reach = np.clip([180 - size / 4, 100 - size / 6], 60, None)
    return np.array([WIDTH_PX / 2, HEIGHT_PX / 2]) + rng.uniform(-reach, reach)


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _blot(
    centre: NDArray[np.float64] | tuple[float, float],
    across: float,
    rng: np.random.Generator,
    *,
    flat: float = 1.0,
    soft_px: float = 0.6,
) -> Grey:
    """Coverage 0..1 by an uneven round spot; `flat`: height / width."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = across / 2 * (1 + 0.18 * np.convolve(rng.standard_normal(44), np.ones(5) / 5, "valid"))
    points = np.stack([np.cos(angles), flat * np.sin(angles)], axis=1) * radii[:, None]
    return cv2.GaussianBlur(_polygon(np.asarray(centre) + points), (0, 0), soft_px)


def _polygon(points: NDArray[np.float64]) -> Grey:
    """Coverage 0..1, exact to a sixteenth of a px at the edges."""
    fine = 4
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, (WIDTH_PX, HEIGHT_PX))
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 2, 0, (WIDTH_PX, HEIGHT_PX))
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    width, height = high - low
    if width and height:
        drawn = np.zeros((height * fine, width * fine), np.uint8)
        scaled = (points - low + 0.5) * fine - 0.5
        cv2.fillPoly(drawn, [np.round(scaled * 16).astype(np.int32)], 255, shift=4)
        small = cv2.resize(drawn, (int(width), int(height)), interpolation=cv2.INTER_AREA)
        shape[low[1] : high[1], low[0] : high[0]] = small / np.float32(255)
    return shape


def _mask(shape: Grey, above: float = 0.5) -> Mask:
    return (shape > above).astype(np.uint8) * 255
