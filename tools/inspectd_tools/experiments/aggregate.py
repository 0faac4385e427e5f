"""Mean, standard deviation and interval over runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Over:
    """One metric of one variant, over its runs."""

    n: int
    mean: float
    deviation: float
    """Standard deviation of a sample; nan for one run."""
    low: float
    high: float
    """Student's interval of the mean, 95 %; nan for one run."""

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4g} (one run)"
        if self.n == 2:  # with two runs, Student's interval is nine deviations wide on each side
            return f"{self.mean:.4g} ± {self.deviation:.2g} (two runs)"
        return f"{self.mean:.4g} ± {self.deviation:.2g} ({self.low:.4g} to {self.high:.4g})"


def over(values: Sequence[float]) -> Over:
    """Mean, deviation and interval. Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no run")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Over(1, mean, math.nan, math.nan, math.nan)
    deviation = float(np.std(values, ddof=1))
    half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(len(values))
    return Over(len(values), mean, deviation, mean - half, mean + half)


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation and its p-value. (0, 1) if `x` or `y` does not vary."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return 0.0, 1.0
    from scipy.stats import spearmanr  # takes seconds to import

    found = spearmanr(x, y)
    return float(found.statistic), float(found.pvalue)
