"""What is drawn only on unknown labels: another product's print, smeared ink, oil, an object on top."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render.scene import FILTER_TOP, HEIGHT_PX, WIDTH_PX, Grey


def other_label(rng: np.random.Generator) -> Grey:
    """(480, 640) ink coverage 0..1 of another product's label: other layout, a frame, a bar code."""
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


def smeared(ink: Grey, rng: np.random.Generator) -> Grey:
    """(480, 640) `ink` after it was wiped sideways, still wet, over a large part of the print."""
    length = int(rng.integers(36, 80))
    kernel = np.zeros((1, 2 * length + 1), np.float32)
    kernel[0, length:] = np.linspace(1, 0.2, length + 1)
    wiped = np.clip(cv2.filter2D(ink, -1, kernel / kernel.sum()) * rng.uniform(1.4, 2.0), 0, 1)
    rows = np.zeros((HEIGHT_PX, 1), np.float32)
    top = int(rng.integers(FILTER_TOP + 40, FILTER_TOP + 140))
    rows[top : top + int(rng.integers(110, 200))] = 1
    rows = cv2.blur(rows, (1, 21))
    return ink * (1 - 0.75 * rows) + np.maximum(wiped, 0.25 * ink) * rows


def oil_spot(scene: Grey, rng: np.random.Generator) -> tuple[Grey, NDArray[np.uint8]]:
    """The scene with an oil spot, which darkens the fabric and lowers the contrast of the print, and the mask of the spot."""
    spot = _blob(rng, (85, 150))
    stained = scene * (1 - 0.55 * spot)
    grey = float(rng.uniform(55, 95))
    return (stained * (1 - 0.55 * spot) + grey * 0.55 * spot).astype(np.float32), _mask(spot)


def foreign_object(scene: Grey, rng: np.random.Generator) -> tuple[Grey, NDArray[np.uint8]]:
    """The scene with something opaque on the label (a screw, a strip of tape, a ring), and its mask."""
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    centre = (int(rng.integers(200, 440)), int(rng.integers(160, 320)))
    kind = rng.choice(["screw", "tape", "ring"])
    angle = float(rng.uniform(0, 180))
    if kind == "screw":
        points = cv2.boxPoints((centre, (float(rng.uniform(150, 230)), float(rng.uniform(34, 54))), angle))
        cv2.fillPoly(shape, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
        cv2.circle(shape, tuple(int(value) for value in points[0]), int(rng.integers(34, 48)), 1.0, -1, cv2.LINE_AA)
    elif kind == "tape":
        points = cv2.boxPoints((centre, (float(rng.uniform(220, 340)), float(rng.uniform(70, 110))), angle))
        cv2.fillPoly(shape, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
    else:
        cv2.circle(shape, centre, int(rng.integers(60, 100)), 1.0, int(rng.integers(18, 34)), cv2.LINE_AA)
    shading = cv2.GaussianBlur(shape, (0, 0), 9)
    grey = float(rng.choice([rng.uniform(20, 90), rng.uniform(140, 180)]))
    body = grey * (0.6 + 0.55 * shading)
    return (scene * (1 - shape) * (1 - 0.3 * shading) + body * shape).astype(np.float32), _mask(shape)


def _blob(rng: np.random.Generator, radius: tuple[int, int]) -> Grey:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = rng.uniform(*radius) * (1 + 0.18 * np.convolve(rng.standard_normal(44), np.ones(5) / 5, "valid"))
    centre = np.array([rng.uniform(210, 430), rng.uniform(180, 300)])
    points = centre + np.stack([np.cos(angles), 0.75 * np.sin(angles)], axis=1) * radii[:, None]
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    cv2.fillPoly(shape, [points.astype(np.int32)], 1.0)
    return cv2.GaussianBlur(shape, (0, 0), 5)


def _mask(shape: Grey) -> NDArray[np.uint8]:
    return (shape > 0.5).astype(np.uint8) * 255
