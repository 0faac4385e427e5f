"""How a new engine is proven not worse than the old one: a non-inferiority test on labels that both judged.

Only two kinds of labels count: those which the old engine judges right and the new one wrong (new errors), and those which it
judges wrong and the new one right (mended). If the old engine judges the share s of all such labels right, the new engine's
share of errors minus that of the old one is

    s * P(new error | the old one is right) - (1 - s) * P(mended | the old one is wrong).

An exact test says whether this can be above the margin (see `exact_test`), at 95 % confidence. Because each side is a probability of
its own, it does not matter that people review rejects more often than passes. s must come from all labels of the line; s = 1 is
the worst case.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.binomial import interval, mcnemar
from inspectd.learning import exact_test

MARGIN: Final = 0.1
"""The new engine may not err on this share of the labels more than the old one. Smaller margins need more photos than people
review in a shift: 0.1 needs 29 labels on each side without a new error, 0.01 needs 299."""
FIT_ONE_IN: Final = 2
"""One in so many reviewed photos fits the new engine; the others prove it."""
_MAY_BE_WRONG: Final = 0.05
_HALVINGS: Final = 12


@dataclass(frozen=True, slots=True)
class Paired:
    """The verdicts of two engines on the same labels of one kind: all good, or all to be rejected."""

    right: int
    """Labels that the old engine judges right."""
    new_errors: int
    """Of these, the ones that the new engine judges wrong."""
    wrong: int = 0
    """Labels that the old engine judges wrong."""
    mended: int = 0
    """Of these, the ones that the new engine judges right."""
    share_right: float = 1.0
    """Share of such labels on the line that the old engine judges right; 1: not known, which is the worst case."""

    @classmethod
    def of(cls, old: NDArray[np.bool_], new: NDArray[np.bool_], weight: Sequence[float] | None = None) -> "Paired":
        """(N,) whether each engine judges each label right. `weight`: for how many labels of the line one label stands that the
        old engine judges right, and one that it judges wrong; None: not known.
        """
        right, wrong = int(old.sum()), int((~old).sum())
        share = 1.0
        if weight is not None and right:
            share = right * weight[0] / (right * weight[0] + wrong * weight[1])
        return cls(right, int((old & ~new).sum()), wrong, int((~old & new).sum()), share)

    def with_more_right(self, other: "Paired") -> "Paired":
        """With the labels, too, that the old engine judges right in `other`."""
        right, new_errors = self.right + other.right, self.new_errors + other.new_errors
        return Paired(right, new_errors, self.wrong, self.mended, self.share_right)

    @property
    def n(self) -> int:
        return self.right + self.wrong

    @property
    def errors(self) -> tuple[int, int]:
        """Of the old and of the new engine."""
        return self.wrong, self.wrong - self.mended + self.new_errors

    @property
    def intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of the shares of errors among these labels, at 95 %."""
        old, new = self.errors
        return interval(old, self.n), interval(new, self.n)

    @property
    def difference_at_most(self) -> float:
        """Upper bound, at 95 %, of the new engine's share of errors minus that of the old one; at least 0."""
        low, high = 0.0, self.share_right
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._is_shown(middle) else (middle, high)
        return high

    @property
    def is_shown(self) -> bool:
        return self._is_shown(MARGIN)

    def _is_shown(self, margin: float) -> bool:
        new, mended = (self.new_errors, self.right), (self.mended, self.wrong)
        return exact_test.p_value(new, mended, self.share_right, margin) <= _MAY_BE_WRONG

    @property
    def p_value(self) -> float:
        """McNemar's exact test: can the difference on these labels be chance?"""
        return mcnemar(self.new_errors, self.mended)

    def more_needed(self) -> int:
        """How many more labels that both engines judge right would prove it; 0: it is proven."""
        more = 0
        while not Paired(self.right + more, self.new_errors, self.wrong, self.mended, self.share_right).is_shown:
            more += 1
        return more


def photos_to_show(share: float) -> int:
    """How many labels without a new error prove that the new engine errs on at most `share` more of them."""
    return math.ceil(math.log(_MAY_BE_WRONG) / math.log1p(-share))
