"""Ridge regression of class membership on features: which directions distinguish the classes (Hoerl and Kennard, 1970).

Every class has the same weight, however many photos it has. It is solved in the space of the photos, which are fewer than
the features.
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
    kernel = inputs @ inputs.T / size
    solved = np.linalg.solve(kernel + _PENALTY * np.eye(len(kernel)), targets * root)
    found = (inputs.T @ solved / size).T
    weight = found[:, :-1] / spread
    return Ridge(weight, found[:, -1] * np.sqrt(size) - weight @ mean)
