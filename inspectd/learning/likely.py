"""Which threshold is most likely to be proven not worse, guessed from the photos that fit.

Only a guess: the photos that prove decide.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.learning.not_worse import MARGIN, Paired
from inspectd.learning.rates import Values

TRIED: Final[tuple[float, ...]] = tuple(np.linspace(0, 1, 201).round(3).tolist())
"""Thresholds."""


def likeliest_threshold(
    old_passes: NDArray[np.bool_], certainty: Values, good: NDArray[np.bool_], weight: tuple[float, float] | None
) -> float:
    """The highest of the thresholds that are most likely to be proven on both sides.

    (N,) each: whether the old engine passes a photo, the certainty with which the new one would, and whether it is good.
    `weight`: as in `compare`.
    """
    likely = [min(map(_distance, compare(old_passes, certainty >= value, good, weight))) for value in TRIED]
    best = max(likely)
    return max(value for value, own in zip(TRIED, likely, strict=True) if own == best)


def compare(
    old_passes: NDArray[np.bool_],
    new_passes: NDArray[np.bool_],
    good: NDArray[np.bool_],
    weight: tuple[float, float] | None,
) -> tuple[Paired, Paired]:
    """False accepts and false rejects. `weight`: for how many labels of the line one that passed stands, and one that was rejected;
    None: not known.
    """
    rejected: Sequence[float] | None = weight and weight[::-1]
    return (
        Paired.of(~old_passes[~good], ~new_passes[~good], rejected),
        Paired.of(old_passes[good], new_passes[good], weight),
    )


def _distance(paired: Paired) -> float:
    """From the margin, in standard errors. Half an error more and half a right one, so that few photos say little."""
    new, mended = (paired.new_errors + 0.5) / (paired.right + 1), (paired.mended + 0.5) / (paired.wrong + 1)
    share = paired.share_right
    variance = share**2 * new * (1 - new) / (paired.right + 1) + (1 - share) ** 2 * mended * (1 - mended) / (
        paired.wrong + 1
    )
    return (MARGIN - share * new + (1 - share) * mended) / math.sqrt(variance)
