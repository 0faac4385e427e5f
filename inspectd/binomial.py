"""How certain a counted rate is, and how certain a difference between two judges of the same things is.

Clopper and Pearson, Biometrika 26 (1934), exact binomial bounds; McNemar, Psychometrika 12 (1947), in its exact form.
"""

import math


def upper_bound(errors: int, n: int, confidence: float = 0.95) -> float:
    """The rate p at which `errors` or fewer of `n` are seen with probability 1 - confidence. 1.0 for n = 0.

    Raises ValueError if `errors` is not in 0..n.
    """
    if not 0 <= errors <= n:
        raise ValueError(f"{errors} errors of {n}")
    if errors == n:
        return 1.0
    low, high = errors / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(errors, n, middle) > 1 - confidence else (low, middle)
    return high


def interval(errors: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided interval of the rate: each end leaves out half of 1 - confidence. (0, 1) for n = 0."""
    one_sided = (1 + confidence) / 2
    return 1 - upper_bound(n - errors, n, one_sided), upper_bound(errors, n, one_sided)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value for "both judges are right equally often", from the things that only one judged right.

    If there is no real difference, each of those is a toss of a coin. p is the chance of a result at least this uneven.
    """
    return min(1.0, 2 * _at_most(min(only_first, only_second), only_first + only_second, 0.5))


def _at_most(errors: int, n: int, p: float) -> float:
    """P(X <= errors) for X binomial (n, p), 0 < p < 1; in logarithms, so that n may be large."""
    log_p, log_q = math.log(p), math.log1p(-p)
    return math.fsum(
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q)
        for k in range(errors + 1)
    )
