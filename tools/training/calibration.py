"""The certainty threshold, and what an engine is worth at it.

The figures hold for images like those they were counted on, drawn independently (exchangeability): another product,
lamp or camera is another population.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.interval import interval, upper_bound

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """`errors` of `n`, with the 95 % interval of Clopper and Pearson."""

    errors: int
    n: int

    @property
    def share(self) -> float:
        return self.errors / self.n if self.n else float("nan")

    def __str__(self) -> str:
        low, high = interval(self.errors, self.n, CONFIDENCE)
        return f"{self.errors} of {self.n} ({self.share:.2%}, 95 % interval {low:.2%} to {high:.2%})"


def pass_certainty(scores: NDArray[np.float32], pass_class: int) -> NDArray[np.float32]:
    """(N, K) -> (N,): the certainty with which each image would pass; 0 where another class is at least as likely."""
    others = np.delete(scores, pass_class, axis=1).max(axis=1)
    certainty: NDArray[np.float32] = np.where(scores[:, pass_class] > others, scores[:, pass_class], 0)
    return certainty


def choose_threshold(faulty: NDArray[np.float32], unknown: NDArray[np.float32], alpha: float) -> float:
    """The lowest threshold at which no faulty image passes and faulty or unknown ones pass at a rate of at most `alpha`.

    `faulty`, `unknown`: pass certainties of calibration images. The rate's bound is one-sided at 95 %. Candidates are
    tried from strict to lax and the first failure ends it, so that trying many needs no correction (fixed-sequence
    testing; Angelopoulos et al., Learn then Test, 2021). Raises EngineError if there are too few images for `alpha`.
    """
    bad = np.concatenate([faulty, unknown])
    if upper_bound(0, len(bad), CONFIDENCE) > alpha:
        needed = int(np.ceil(np.log(1 - CONFIDENCE) / np.log1p(-alpha)))
        raise EngineError(
            f"a false-accept bound of {alpha:.2%} needs {needed} faulty or unknown images, got {len(bad)}"
        )
    chosen = 1.0
    for candidate in np.unique(np.concatenate([bad, np.linspace(0, 1, 1001, dtype=np.float32)]))[::-1]:
        accepted = int((bad >= candidate).sum())
        if (faulty >= candidate).any() or upper_bound(accepted, len(bad), CONFIDENCE) > alpha:
            break
        chosen = float(candidate)
    return chosen


def rates(certainty: dict[str, NDArray[np.float32]], threshold: float) -> dict[str, Rate]:
    """Folder name -> how many of its images would pass."""
    return {name: Rate(int((values >= threshold).sum()), len(values)) for name, values in certainty.items()}


def false_rejects(good: NDArray[np.float32], threshold: float) -> Rate:
    return Rate(int((good < threshold).sum()), len(good))
