"""A cap on the good parts that are rejected, for photo sets too small to show a useful bound at a useful cost.

With few photos, the lowest bound that they can show puts the threshold above each faulty part. One faulty part that looks good then
costs most of the good ones. With a cap the threshold is lower, and the bound is what the parts show there.
"""

from typing import Final

import numpy as np

from inspectd.binomial import upper_bound
from inspectd.learning.rates import Values

USUAL_CAP: Final = 0.05
"""After cross-validation, if no bound is asked for."""


def highest_within(good: Values, share: float) -> float:
    """The highest threshold that rejects at most `share` (below 1) of the good parts with these certainties.

    Parts with certainty 0 don't count: no threshold lets them pass, so a lower one would only let more faulty parts pass.
    """
    possible = np.sort(good[good > 0])
    return float(possible[int(share * len(possible))]) if len(possible) else 1.0


def shown_at(threshold: float, faulty: Values, unknown: Values, confidence: float, margin: float) -> float:
    """The larger of the bounds (Clopper-Pearson) on the faulty and on the unknown parts that pass.

    Valid for a threshold that was chosen without these parts. `margin`: as in `passing`.
    """
    sides = [values for values in (faulty, unknown) if len(values)]
    return max((upper_bound(passing(side, threshold, margin), len(side), confidence) for side in sides), default=0)


def passing(values: Values, threshold: float, margin: float) -> int:
    """How many pass, or are below by less than `margin`: another runtime may let them pass."""
    return int(((values >= threshold) | (values > threshold - margin)).sum())
