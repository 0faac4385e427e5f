"""How the print lies on the part, in degrees and px, and how much of what is usual that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inspectd.guard.registration import Pose


class Measurements(NamedTuple):
    """Of the print against the part, 0: as on the middle one of the good labels."""

    angle_deg: float
    """Clockwise."""
    x_px: float
    """To the right."""
    y_px: float
    """Down."""


@dataclass(frozen=True, slots=True)
class Usual:
    """How good labels lie."""

    middle: Measurements
    spread: Measurements
    """Largest difference from the middle."""

    def measure(self, print_: Pose) -> Measurements:
        return Measurements(*(value - middle for value, middle in zip(print_, self.middle, strict=True)))

    def share(self, measured: Measurements) -> float:
        """Of the largest difference seen on good labels; above 1: farther than all of them."""
        return max(abs(value) / spread for value, spread in zip(measured, self.spread, strict=True))


_LEAST = Measurements(0.1, 0.5, 0.5)
"""No less is taken for a difference: about what registration can't tell."""


def fit(prints: Sequence[Pose]) -> Usual:
    """From the poses of good labels. The middle is that of the extremes: tolerances have two ends."""
    poses = np.array(prints)
    low, high = poses.min(axis=0), poses.max(axis=0)
    middle = Measurements(*((low + high) / 2).tolist())
    return Usual(middle, Measurements(*np.maximum((high - low) / 2, _LEAST).tolist()))
