"""Incomplete prints (`fail_label_not_fully_printed`): what a failing print head leaves out, from one character to most ink."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render.printing import HEIGHT_PX, WIDTH_PX, Ink, Print
from inspectd_tools.synthetic.render.severity import Severity

GROSS_SHARE = 0.10
"""Share of the ink from which a loss is gross."""
_LEAST_PX = 40
"""Least area of ink that is lost: half a thin character, such as a `1`. With less, a careful person may not reject the label."""
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Incomplete:
    ink: Ink
    """What is left."""
    way: str
    """How the print fails, such as `faded`."""
    lost_share: float
    """Of the ink."""
    lost_px: float
    """Side of a square as large as the lost ink."""


def incomplete(label: Print, rng: np.random.Generator, severity: Severity) -> Incomplete:
    """The print with missing ink. A loss is small if it is less than `GROSS_SHARE` of the ink."""
    ways = {"all": _SMALL | _GROSS, "gross": _GROSS, "small": _SMALL}[severity]
    total = float(label.ink.sum())
    name = str(rng.choice(list(ways)))
    for attempt in range(_TRIES):
        kept = label.ink * ways[name](label, rng, 0.15 + 0.85 * max(float(rng.random()), min(1, attempt / 8)))
        area = total - float(kept.sum())
        low, high = (GROSS_SHARE * total, total) if name in _GROSS else (_LEAST_PX, GROSS_SHARE * total)
        if low <= area <= high:
            break
    else:
        name = "line" if name in _GROSS else "character"
        kept = label.ink * ways[name](label, rng, 1.0)
        area = total - float(kept.sum())
    return Incomplete(kept, name, area / total, area**0.5)


def _chunk(_label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """A soft-edged hole."""
    axes = (round(WIDTH_PX * (0.14 + 0.3 * degree)), round(HEIGHT_PX * (0.18 + 0.3 * degree)))
    centre = (int(rng.integers(40, WIDTH_PX - 40)), int(rng.integers(30, HEIGHT_PX - 30)))
    keep = _everywhere()
    cv2.ellipse(keep, centre, axes, float(rng.uniform(0, 180)), 0, 360, 0.0, -1)
    return cv2.GaussianBlur(keep, (0, 0), 4)


def _faded(_label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """Ink runs out towards one side."""
    x = np.linspace(0, 1, WIDTH_PX, dtype=np.float32)
    if rng.random() < 0.5:
        x = x[::-1]
    y = np.linspace(-0.2, 0.2, HEIGHT_PX, dtype=np.float32)[:, None] * rng.choice([-1, 1])
    onset = 0.75 - 0.6 * degree
    return np.clip(1 - (x + y - onset) / 0.18, 0.12, 1).astype(np.float32)


def _dead_nozzles(_label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """Rows without ink through the whole label."""
    keep = _everywhere()
    for _ in range(2 + round(5 * degree)):
        top = int(rng.integers(4, HEIGHT_PX - 14))
        keep[top : top + int(rng.integers(6, 12))] = 0
    return keep


def _blotchy(_label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """A clogged head: irregular patches with and without ink."""
    noise = cv2.resize(rng.random((10, 18), np.float32), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip((noise - (0.22 + 0.33 * degree)) / 0.1, 0.05, 1).astype(np.float32)


def _missing_line(_label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """One or more text lines are missing."""
    keep = _everywhere()
    rows = rng.permutation([(0, 60), (66, 108), (112, 154), (160, HEIGHT_PX)])
    for top, bottom in rows[: 1 + round(2 * degree)]:
        keep[top:bottom, : WIDTH_PX if top == 0 else 245] = 0
    return keep


def _character(label: Print, rng: np.random.Generator, _degree: float) -> NDArray[np.float32]:
    """A letter or a digit is missing."""
    characters = label.characters()
    _, area = characters[int(rng.integers(len(characters)))]
    keep = _everywhere()
    keep[area.slices] = 0
    return keep


def _dots(label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """Up to a third of the drops of one line are missing."""
    _, area = label.lines[int(rng.integers(len(label.lines)))]
    pitch = max(3, round(area.height / 7))
    drops = rng.random((area.height // pitch + 1, area.width // pitch + 1), np.float32) >= degree / 3
    keep = _everywhere()
    keep[area.slices] = np.kron(drops, np.ones((pitch, pitch)))[: area.height, : area.width]
    return keep


def _dead_nozzle(label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """One thin row without ink through one line."""
    _, area = label.lines[int(rng.integers(len(label.lines)))]
    width = 2 + round(3 * degree)
    top = area.top + int(rng.integers(2, area.height - width - 1))
    keep = _everywhere()
    keep[top : top + width, area.left : area.left + area.width] = 0
    return keep


def _hole(label: Print, rng: np.random.Generator, degree: float) -> NDArray[np.float32]:
    """A small chunk, in the middle of ink."""
    rows, columns = np.nonzero(label.ink > 0.5)
    place = int(rng.integers(len(rows)))
    keep = _everywhere()
    cv2.circle(keep, (int(columns[place]), int(rows[place])), round(6 + 18 * degree), 0.0, -1)
    return cv2.GaussianBlur(keep, (0, 0), 1.5)


def _everywhere() -> NDArray[np.float32]:
    return np.ones((HEIGHT_PX, WIDTH_PX), np.float32)


_Way = Callable[[Print, np.random.Generator, float], NDArray[np.float32]]
_GROSS: dict[str, _Way] = {
    "chunk": _chunk,
    "faded": _faded,
    "dead_nozzles": _dead_nozzles,
    "blotchy": _blotchy,
    "line": _missing_line,
}
_SMALL: dict[str, _Way] = {"character": _character, "dots": _dots, "dead_nozzle": _dead_nozzle, "hole": _hole}
