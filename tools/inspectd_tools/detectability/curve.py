"""Probability of detection (POD) over the size of a fault, from hits and misses.

The model of MIL-HDBK-1823A for hit/miss data: the log-odds of a find are a straight line over the logarithm of the size. It
is fitted with Firth's penalty (Biometrika 80, 1993), and bounds come from the penalised likelihood ratio: a size is possible
as long as the best curve through it explains the data hardly worse than the best curve of all (Heinze and Schemper,
Statistics in Medicine 21, 2002). Without the penalty, these bounds (Cheng and Iles, Technometrics 25, 1983) are too small
where nearly all faults from one size on are found: an a90/95 was at or above the true a90 in only 78 % of simulated cases.

The tries must be independent of each other: one try per part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit, log_expit, logit
from scipy.stats import chi2

_CONFIDENCE: Final = 0.95
"""One-sided, of all bounds."""
_LOSS: Final = float(chi2.ppf(2 * _CONFIDENCE - 1, 1)) / 2
"""A one-sided bound is an end of the two-sided interval that leaves out twice as much."""
_CERTAIN: Final = 40.0
"""Log-odds; nothing is more certain."""

Values = NDArray[np.float64]

_SLOPES: Final[Values] = np.concatenate([[0.0], np.geomspace(0.1, 1000, 21)])
"""Where a maximum is first looked for. The sizes go from 0 to 1 here (logarithms); 1000 is a step."""
_MIDDLES: Final[Values] = np.linspace(-1, 2, 31)


@dataclass(frozen=True, slots=True)
class Reached:
    """The size from which on a share of the faults is found. Only sizes that were tried are named."""

    size: float
    relation: Literal["at", "at most", "above"]
    """`at most`: `size` is the smallest that was tried. `above`: the share was not reached up to `size`, the largest tried."""


@dataclass(frozen=True)
class Curve:
    """A curve that does not fall with the size, fitted to tries of one kind of fault."""

    sizes: Values
    """(N,) above 0"""
    found: NDArray[np.bool_]
    """(N,)"""

    @property
    def smallest(self) -> float:
        """Of the sizes that were tried."""
        return float(self.sizes.min())

    @property
    def largest(self) -> float:
        return float(self.sizes.max())

    def pod(self, sizes: Values) -> Values:
        """Probability that faults of these sizes are found: the best estimate."""
        level, slope, _ = self._best
        estimate: Values = expit(level + slope * self._scaled(sizes))
        return estimate

    def lower_bound(self, sizes: Values) -> Values:
        """Of the probability that a fault of one of these sizes is found."""
        return np.array([self._lower(float(place)) for place in self._scaled(sizes)])

    def reached(self, share: float) -> Reached:
        """Best estimate of the size from which on this share is found: a50 for 0.5, a90 for 0.9."""
        lowest, highest = self.pod(np.array([self.smallest, self.largest]))
        if lowest >= share:
            return Reached(self.smallest, "at most")
        if highest < share:
            return Reached(self.largest, "above")
        level, slope, _ = self._best
        return self._at((float(logit(share)) - level) / slope)

    def surely_reached(self, share: float) -> Reached:
        """The upper bound of that size: a90/95 for 0.9."""
        odds = float(logit(share))
        estimate = self.reached(share)
        if estimate.relation == "above" or self._loss(1, odds) <= _LOSS:
            return Reached(self.largest, "above")
        start = float(self._scaled(np.array(estimate.size)))
        if self._loss(start, odds) >= _LOSS:  # even the smallest size is beyond the bound
            return estimate
        return self._at(brentq(lambda place: self._loss(place, odds) - _LOSS, start, 1, xtol=1e-4))

    def _lower(self, place: float) -> float:
        level, slope, _ = self._best
        highest = float(np.clip(level + slope * place, -_CERTAIN, _CERTAIN))
        if self._loss(place, -_CERTAIN) <= _LOSS:
            return 0.0
        if self._loss(place, highest) >= _LOSS:  # the search for the best curve stopped a little early
            return float(expit(highest))
        return float(expit(brentq(lambda odds: self._loss(place, odds) - _LOSS, -_CERTAIN, highest, xtol=1e-3)))

    def _loss(self, place: float, odds: float) -> float:
        """How much worse the best curve with these log-odds at this place is than the best one of all (log-likelihood)."""

        def value(slope: float) -> float:
            return float(self._penalised(np.array([odds - slope * place]), np.array([slope]))[0])

        values = self._penalised(odds - _SLOPES * place, _SLOPES)
        best = int(np.argmax(values))
        around = _SLOPES[max(0, best - 1)], _SLOPES[min(len(_SLOPES) - 1, best + 1)]
        solved = minimize_scalar(lambda slope: -value(slope), bounds=around, method="bounded", options={"xatol": 1e-3})
        return self._best[2] - max(float(values[best]), -float(solved.fun))

    @cached_property
    def _best(self) -> tuple[float, float, float]:
        """Level, slope and penalised log-likelihood of the best curve."""
        slopes, middles = (side.ravel() for side in np.meshgrid(_SLOPES, _MIDDLES))
        levels = np.where(slopes > 0, -slopes * middles, logit(np.interp(middles, (-1, 2), (1e-4, 1 - 1e-4))))
        start = int(np.argmax(self._penalised(levels, slopes)))
        middle, slope = middles[start], slopes[start]

        def loss(line: Values) -> float:
            odds, slope = line
            return -float(self._penalised(np.array([odds - slope * middle]), np.array([slope]))[0])

        odds = levels[start] + slope * middle
        near = np.array([[odds, slope], [odds + 0.5, slope], [odds, 1.2 * slope + 0.1]])
        options = {"initial_simplex": near, "xatol": 1e-4, "fatol": 1e-6}
        solved = minimize(loss, near[0], method="Nelder-Mead", bounds=[(None, None), (0, None)], options=options)
        odds, slope = solved.x.tolist()
        return odds - slope * middle, slope, -float(solved.fun)

    def _penalised(self, levels: Values, slopes: Values) -> Values:
        """(K,), (K,) -> (K,): log-likelihood with half the logarithm of the information's determinant added."""
        odds = levels[:, None] + slopes[:, None] * self._places
        chance = expit(odds)
        weight = chance * (1 - chance)
        total = weight.sum(axis=1)
        mean = (weight @ self._places) / np.maximum(total, 1e-300)
        spread = np.einsum("kn,kn->k", weight, (self._places - mean[:, None]) ** 2)
        information = np.log(np.maximum(total, 1e-300)) + np.log(np.maximum(spread, 1e-300))
        penalised: Values = log_expit(np.where(self.found, odds, -odds)).sum(axis=1) + information / 2
        return penalised

    @cached_property
    def _places(self) -> Values:
        return self._scaled(self.sizes)

    @cached_property
    def _width(self) -> float:
        return float(np.log(self.largest / self.smallest))

    def _scaled(self, sizes: Values) -> Values:
        """Sizes -> logarithms from 0 (the smallest) to 1 (the largest)."""
        scaled: Values = np.log(np.asarray(sizes) / self.smallest) / self._width
        return scaled

    def _at(self, place: float) -> Reached:
        return Reached(float(self.smallest * np.exp(place * self._width)), "at")


def fit(sizes: Sequence[float], found: Sequence[bool]) -> Curve:
    """Raises ValueError: fewer than two different sizes, or one that is not above 0."""
    if len(set(sizes)) < 2 or min(sizes) <= 0 or len(sizes) != len(found):
        raise ValueError(
            f"{len(sizes)} sizes for {len(found)} results: two different sizes above 0 are needed at least"
        )
    return Curve(np.array(sizes, np.float64), np.array(found, np.bool_))
