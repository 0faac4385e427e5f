"""Do the labels that people gave agree with each other, and with what the old engine sees?

A wrong label teaches the engine the wrong thing, and the same wrong label then proves it right. So labels are judged before
anything is fitted: each by a regression that did not learn from its block, and all of them together by the old engine.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.learning import ridge
from inspectd.learning.rows import Rows

MOST_DOUBTFUL: Final = 0.07
"""If one label in ten of a kind is wrong, about one in ten contradicts the others."""
NOT_SEPARABLE: Final = 0.15
"""Share of contradictions, confirmed by a second person or not, above which the backbone does not distinguish good from bad."""
CHANCE: Final = 0.05
_VOUCHED, _MOST_DISPUTED = 0.1, 0.2
"""If two people agree on this share of the labels, and disagree on at most that share of those that two have looked at, the labels
are not all swapped, whatever a weak engine says."""
_FOLDS: Final = 10


@dataclass(frozen=True, slots=True)
class Doubts:
    contradicts: NDArray[np.bool_]
    """(N,): judged from all other blocks, the label is on the other side, good instead of bad or bad instead of good, or it is
    another fault."""
    worst_first: NDArray[np.int64]
    """Indices of those of `contradicts` that only one person has looked at."""
    allowed: int
    """So many of them may be."""
    sides_by_chance: float
    """Probability that the old engine's scores agree as well as here with labels that are good or bad at random; 0 if two people
    vouch for the labels."""
    faults_by_chance: float
    """The same for the names of the faults; 0 if it names at least half of them as the labels do, or there are none."""

    @property
    def too_many(self) -> bool:
        return len(self.worst_first) > self.allowed

    @property
    def separable(self) -> bool:
        return bool(self.contradicts.sum() <= NOT_SEPARABLE * len(self.contradicts))


def find(
    rows: Rows,
    blocks: NDArray[np.int64],
    confirmed: NDArray[np.bool_],
    disputed: int,
    known: Rows,
    place: int,
    logs: NDArray[np.floating],
) -> Doubts:
    """`rows`: the reviewed photos; `known`: those that the old engine keeps. `confirmed`: (N,) at least two people agree;
    `disputed`: on so many other photos, two people disagree.

    `place`: of the pass class. `logs`: (N, classes) log K by the old engine.
    """
    classes = logs.shape[1]
    # all kinds of unknowns are one class more
    labels, known_labels = (np.minimum(one.labels, classes) for one in (rows, known))
    predicted = np.zeros((len(rows), classes + 1))
    for fold in range(_FOLDS):
        here = blocks % _FOLDS == fold
        if here.any():
            learned = np.concatenate([labels[~here], known_labels])
            features = np.concatenate([rows.features[~here], known.features])
            predicted[here] = ridge.fit(features, np.eye(classes + 1)[learned], learned).predict(rows.features[here])
    good, faulty = labels == place, (labels != place) & (labels < classes)
    as_good = predicted[:, place] - np.delete(predicted, place, axis=1).max(axis=1)
    of_faults = np.where(np.arange(classes) == place, -np.inf, predicted[:, :classes])
    own = predicted[np.arange(len(rows)), labels]
    # below 0: contradicts
    agrees = np.where(good, as_good, -as_good)
    agrees = np.where(faulty, np.minimum(agrees, own - of_faults.max(axis=1, initial=-np.inf)), agrees)
    contradicts = agrees < 0
    order = np.argsort(agrees, kind="stable")
    old_fault = np.where(np.arange(classes) == place, -np.inf, logs).argmax(axis=1)
    margin = logs[:, place] - np.delete(logs, place, axis=1).max(axis=1)
    agreed = int(confirmed.sum())
    vouched = agreed >= max(1, _VOUCHED * len(rows)) and disputed <= _MOST_DISPUTED * (agreed + disputed)
    return Doubts(
        contradicts,
        order[(contradicts & ~confirmed)[order]],
        int(MOST_DOUBTFUL * min(good.sum(), (~good).sum())),
        0.0 if vouched else _larger_by_chance(margin[good], margin[~good]),
        0.0 if vouched else _same_by_chance(labels[faulty], old_fault[faulty]),
    )


def _larger_by_chance(larger: NDArray[np.floating], smaller: NDArray[np.floating]) -> float:
    """One-sided p-value of the rank-sum test (Mann and Whitney, 1947; normal approximation); 1 if one side is empty."""
    n, m = len(larger), len(smaller)
    if not n or not m:
        return 1.0
    wins = float((larger[:, None] > smaller).sum() + 0.5 * (larger[:, None] == smaller).sum())
    return _upper_tail((wins - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))


def _same_by_chance(labels: NDArray[np.integer], named: NDArray[np.integer]) -> float:
    """One-sided p-value that independent names agree as often (Cohen, 1960; normal approximation); 0 if half of them agree."""
    n = len(labels)
    agree = float((labels == named).mean()) if n else 1.0
    if agree >= 0.5:
        return 0.0
    expected = sum(float((labels == name).mean() * (named == name).mean()) for name in set(labels.tolist()))
    if not 0 < expected < 1:
        return 1.0
    return _upper_tail((agree - expected) / math.sqrt(expected * (1 - expected) / n))


def _upper_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))
