"""The certainty threshold, and what an engine is worth at it.

The figures hold for images like those they were counted on, drawn independently (exchangeability): another product,
lamp or camera is another population.
"""

import math
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


def pass_certainty(scores: NDArray[np.floating], pass_class: int) -> NDArray[np.floating]:
    """(N, K) -> (N,): the certainty with which each image would pass; 0 where another class is at least as likely."""
    others = np.delete(scores, pass_class, axis=1).max(axis=1)
    certainty: NDArray[np.floating] = np.where(scores[:, pass_class] > others, scores[:, pass_class], 0)
    return certainty


def choose_threshold(faulty: NDArray[np.floating], unknown: NDArray[np.floating], alpha: float) -> float:
    """The lowest threshold at which no faulty image passes and the rate of unknown ones that do is at most `alpha`.

    `faulty`, `unknown`: pass certainties of calibration images. The bounds are one-sided at 95 %, each group for itself:
    many easy ones of one kind must not buy passes of another. Candidates are tried from strict to lax and the first
    failure ends it, so that trying many needs no correction (fixed-sequence testing; Angelopoulos et al., Learn then
    Test, 2021). Raises EngineError if a group has too few images for `alpha`; an absent group promises nothing.
    """
    for name, group in (("faulty", faulty), ("unknown", unknown)):
        if len(group) and upper_bound(0, len(group), CONFIDENCE) > alpha:
            raise EngineError(
                f"at most {alpha:.2%} false accepts can't be shown: that needs {images_needed(alpha)} {name} calibration images, "
                f"got {len(group)}; give more, or a larger --alpha"
            )
    chosen = 1.0
    candidates = np.concatenate([faulty, unknown, np.linspace(0, 1, 1001, dtype=np.float32)])
    for candidate in np.unique(candidates)[::-1]:
        passed = int((unknown >= candidate).sum())
        if (faulty >= candidate).any() or (passed and upper_bound(passed, len(unknown), CONFIDENCE) > alpha):
            break
        chosen = float(candidate)
    return chosen


def images_needed(alpha: float) -> int:
    """So many, none of them passed, show a rate of at most `alpha`."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-alpha))


def rates(certainty: dict[str, NDArray[np.floating]], threshold: float) -> dict[str, Rate]:
    """Folder name -> how many of its images would pass."""
    return {name: Rate(int((values >= threshold).sum()), len(values)) for name, values in certainty.items()}


def false_rejects(good: NDArray[np.floating], threshold: float) -> Rate:
    return Rate(int((good < threshold).sum()), len(good))
