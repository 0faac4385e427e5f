"""How the print lies on the part and how dark it is, and how unusual that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inspectd.guard.placement import PlacedPrint
from inspectd.guard.registration import Pose
from inspectd.part import AnomalyKind

_LEAST_TURN_DEG, _LEAST_SHIFT_PX, _LEAST_FADING = 0.1, 0.5, 0.02
"""About what can't be measured: no smaller tolerance is taken from good labels."""


class Measurements(NamedTuple):
    """Of the print; 0: in the middle between the extremes of good labels."""

    angle_deg: float
    """Against the part, clockwise."""
    x_px: float
    """To the right."""
    y_px: float
    """Down."""
    fading: float
    """Share of the usual darkness that is missing; negative: darker than usual. 0 if the guard does not measure it."""


@dataclass(frozen=True, slots=True)
class Fading:
    usual: float
    """Darkness in the middle between the extremes of good labels, as `PlacedPrint.darkness`."""
    largest: float
    """Of good labels, as a share of `usual`."""

    def measure(self, darkness: float) -> float:
        return 1 - darkness / self.usual


@dataclass(frozen=True, slots=True)
class Usual:
    """How good labels are."""

    middle: Pose
    turn_deg: float
    """Largest seen, either way."""
    shift_px: float
    """Largest seen, in any direction."""
    fading: Fading | None
    """None: an older guard, which does not measure it."""

    @property
    def kinds(self) -> tuple[AnomalyKind, ...]:
        """Of `shares`."""
        return ("turned", "shifted") if self.fading is None else ("turned", "shifted", "faded")

    def measure(self, print_: PlacedPrint) -> Measurements:
        pose, middle = print_.pose, self.middle
        return Measurements(
            pose.angle_deg - middle.angle_deg,
            pose.x_px - middle.x_px,
            pose.y_px - middle.y_px,
            self.fading.measure(print_.darkness) if self.fading else 0,
        )

    def shares(self, measured: Measurements) -> Mapping[AnomalyKind, float]:
        """Shares of the largest seen on good labels; above 1: farther than all of them. A dark print is not faded: 0."""
        shift_px = float(np.hypot(measured.x_px, measured.y_px))
        shares: dict[AnomalyKind, float] = {
            "turned": abs(measured.angle_deg) / self.turn_deg,
            "shifted": shift_px / self.shift_px,
        }
        if self.fading is not None:
            shares["faded"] = float(np.maximum(measured.fading, 0)) / self.fading.largest  # keeps NaN
        return shares


def fit(prints: Sequence[PlacedPrint]) -> Usual:
    """From good labels. The middle is that of the extremes, since a tolerance has two ends.

    Raises ValueError if their prints have no ink in common.
    """
    poses = np.array([print_.pose for print_ in prints])
    middle = Pose(*((poses.min(axis=0) + poses.max(axis=0)) / 2).tolist())
    turns, *shifts = np.abs(poses - middle).T
    darkness = [print_.darkness for print_ in prints]
    usual = (min(darkness) + max(darkness)) / 2
    if not usual > 0:
        raise ValueError("the prints are not darker than the label, so their darkness can't be measured")
    return Usual(
        middle,
        max(float(turns.max()), _LEAST_TURN_DEG),
        max(float(np.hypot(*shifts).max()), _LEAST_SHIFT_PX),
        Fading(usual, max(1 - min(darkness) / usual, _LEAST_FADING)),
    )
