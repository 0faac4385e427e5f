"""Ridge regression of class membership on features: which directions distinguish the classes (Hoerl and Kennard, 1970).

Every class has the same weight, however many photos it has. It is solved in the space of the photos or in that of
the features, whichever is smaller.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PENALTY = 1.0
"""For standardised features, divided by their number."""
_LEAST_SPREAD = 0.1
"""Of the mean spread: no feature is blown up because it hardly varies on a few photos."""


@dataclass(frozen=True, slots=True)
class Ridge:
    weight: NDArray[np.float64]
    """(targets, features)"""
    offset: NDArray[np.float64]
    """(targets,)"""

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, features) -> (N, targets)"""
        predicted: NDArray[np.float64] = features @ self.weight.T + self.offset
        return predicted


def fit(features: NDArray[np.floating], targets: NDArray[np.float64], groups: NDArray[np.integer]) -> Ridge:
    """(N, features), (N, targets), (N,) the class of each photo, for its weight."""
    features = features.astype(np.float64)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = spread + _LEAST_SPREAD * spread.mean() + np.finfo(np.float64).tiny
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    root = np.sqrt(len(groups) / len(counts) / counts[place])[:, None]
    size = features.shape[1]
    # one more feature, which is constant, carries the offset
    inputs = np.concatenate([(features - mean) / spread, np.full((len(features), 1), np.sqrt(size))], axis=1) * root
    if len(inputs) > inputs.shape[1]:
        found = _solve(inputs.T @ inputs / size, inputs.T @ (targets * root) / size).T
    else:
        found = (inputs.T @ _solve(inputs @ inputs.T / size, targets * root) / size).T
    weight = found[:, :-1] / spread
    return Ridge(weight, found[:, -1] * np.sqrt(size) - weight @ mean)


def _solve(gram: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.solve(gram + _PENALTY * np.eye(len(gram)), right).astype(np.float64)
