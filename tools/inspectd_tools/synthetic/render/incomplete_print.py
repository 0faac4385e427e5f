"""Incomplete prints (`fail_label_not_fully_printed`): what a failing print head leaves out, from mild to severe."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render.printing import HEIGHT_PX, WIDTH_PX, Ink

MIN_LOST_SHARE = 0.10
"""Least share of ink that is lost: with less, a careful person would not reject the label."""


def incomplete(ink: Ink, rng: np.random.Generator) -> tuple[Ink, str, float]:
    """The print with missing ink, how it fails (such as `faded`), and the share of ink lost."""
    ways = {"chunk": _chunk, "faded": _faded, "dead_nozzles": _dead_nozzles, "blotchy": _blotchy, "line": _missing_line}
    way = str(rng.choice(list(ways)))
    total = float(ink.sum())
    for attempt in range(8):
        kept = ink * ways[way](rng, 0.15 + 0.85 * max(float(rng.random()), attempt / 8))
        lost = 1 - float(kept.sum()) / total
        if lost >= MIN_LOST_SHARE:
            return kept, way, lost
    kept = ink * _missing_line(rng, 1.0)
    return kept, "line", 1 - float(kept.sum()) / total


def _chunk(rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """A soft-edged hole."""
    keep = np.ones((HEIGHT_PX, WIDTH_PX), np.float32)
    axes = (round(WIDTH_PX * (0.14 + 0.3 * degree)), round(HEIGHT_PX * (0.18 + 0.3 * degree)))
    centre = (int(rng.integers(40, WIDTH_PX - 40)), int(rng.integers(30, HEIGHT_PX - 30)))
    cv2.ellipse(keep, centre, axes, float(rng.uniform(0, 180)), 0, 360, 0.0, -1)
    return cv2.GaussianBlur(keep, (0, 0), 4)


def _faded(rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """Ink runs out towards one side."""
    x = np.linspace(0, 1, WIDTH_PX, dtype=np.float32)
    if rng.random() < 0.5:
        x = x[::-1]
    y = np.linspace(-0.2, 0.2, HEIGHT_PX, dtype=np.float32)[:, None] * rng.choice([-1, 1])
    onset = 0.75 - 0.6 * degree
    return np.clip(1 - (x + y - onset) / 0.18, 0.12, 1).astype(np.float32)


def _dead_nozzles(rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """Rows without ink through the whole label."""
    keep = np.ones((HEIGHT_PX, WIDTH_PX), np.float32)
    for _ in range(2 + round(5 * degree)):
        top = int(rng.integers(4, HEIGHT_PX - 14))
        keep[top : top + int(rng.integers(6, 12))] = 0
    return keep


def _blotchy(rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """A clogged head: irregular patches with and without ink."""
    noise = cv2.resize(rng.random((10, 18), np.float32), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip((noise - (0.22 + 0.33 * degree)) / 0.1, 0.05, 1).astype(np.float32)


def _missing_line(rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """One or more text lines are missing."""
    keep = np.ones((HEIGHT_PX, WIDTH_PX), np.float32)
    rows = rng.permutation([(0, 60), (66, 108), (112, 154), (160, HEIGHT_PX)])
    for top, bottom in rows[: 1 + round(2 * degree)]:
        keep[top:bottom, : WIDTH_PX if top == 0 else 245] = 0
    return keep
