"""An exact test for a difference between shares of two groups, each with its own weight.

An unconditional test: its p-value is the largest that any pair of true shares on the edge of the hypothesis gives (Barnard,
"Significance tests for 2x2 tables", 1947). It orders the results by the posterior probability of the hypothesis with uniform
priors. The order decides only how powerful the test is; its errors are right with any order.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_POINTS: Final = 200
"""Shares of the second group that are tried."""


def p_value(first: tuple[int, int], second: tuple[int, int], weight: float, margin: float) -> float:
    """The p-value of `weight * p1 - (1 - weight) * p2 >= margin`, for (errors, n) of two groups with the true shares p1 and p2.

    `weight`: 0 to 1; `margin`: above 0.
    """
    (x1, n1), (x2, n2) = first, second
    if weight <= margin:
        return 0.0
    edge = np.linspace(0, 1, _POINTS + 1)
    middle = (edge[1:] + edge[:-1]) / 2
    prior = _probabilities(n2, middle)
    below = 1 - np.cumsum(_probabilities(n1 + 1, _on_edge(middle, weight, margin)), axis=0)[:-1]
    order = below @ (prior / prior.sum(axis=1, keepdims=True)).T
    as_extreme = (order >= order[x1, x2] - 1e-12).astype(np.float64)
    p2 = edge[margin + (1 - weight) * edge <= weight]
    of_first = _probabilities(n1, _on_edge(p2, weight, margin))
    chances = np.einsum("ik,ik->k", as_extreme @ _probabilities(n2, p2), of_first)
    return float(chances.max())


def _on_edge(p2: NDArray[np.float64], weight: float, margin: float) -> NDArray[np.float64]:
    """p1 where the hypothesis just holds."""
    return np.minimum((margin + (1 - weight) * p2) / weight, 1.0)


def _probabilities(n: int, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) -> (n + 1, K): the binomial probabilities of 0 to n."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    errors = np.arange(n + 1)[:, None]
    safe = np.clip(shares, 1e-300, 1 - 1e-16)
    logs = (
        (factorials[n] - factorials - factorials[::-1])[:, None]
        + errors * np.log(safe)
        + (n - errors) * np.log1p(-safe)
    )
    found: NDArray[np.float64] = np.exp(logs)
    return found
