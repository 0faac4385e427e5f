"""How the print lies on the part, in degrees and px, and how unusual that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inspectd.guard.registration import Pose

_LEAST_TURN_DEG, _LEAST_SHIFT_PX = 0.1, 0.5
"""About what registration can't tell: no smaller tolerance is taken from good labels."""


class Measurements(NamedTuple):
    """Of the print against the part; 0: in the middle between the extremes of good labels."""

    angle_deg: float
    """Clockwise."""
    x_px: float
    """To the right."""
    y_px: float
    """Down."""

    @property
    def shift_px(self) -> float:
        return float(np.hypot(self.x_px, self.y_px))


@dataclass(frozen=True, slots=True)
class Usual:
    """How good labels lie."""

    middle: Measurements
    turn_deg: float
    """Largest seen, either way."""
    shift_px: float
    """Largest seen, in any direction."""

    def measure(self, print_: Pose) -> Measurements:
        return Measurements(*(value - middle for value, middle in zip(print_, self.middle, strict=True)))

    def shares(self, measured: Measurements) -> tuple[float, float]:
        """Turn and shift as shares of the largest seen on good labels; above 1: farther than all of them."""
        return abs(measured.angle_deg) / self.turn_deg, measured.shift_px / self.shift_px


def fit(prints: Sequence[Pose]) -> Usual:
    """From the poses of good labels. The middle is that of the extremes, since a tolerance has two ends."""
    poses = np.array(prints)
    middle = Measurements(*((poses.min(axis=0) + poses.max(axis=0)) / 2).tolist())
    turns, *shifts = np.abs(poses - middle).T
    return Usual(middle, max(float(turns.max()), _LEAST_TURN_DEG), max(float(np.hypot(*shifts).max()), _LEAST_SHIFT_PX))
