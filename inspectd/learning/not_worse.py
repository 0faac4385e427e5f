"""How a new engine is proven not worse than the old one: a non-inferiority test on photos that both judged.

Only photos count on which exactly one of the two errs. The share of errors of the new engine minus that of the old one is
the share of photos where only the new one errs, minus the share where only the old one errs. Both shares get an exact
bound (Clopper-Pearson), and the two bounds share the 5 % (Bonferroni). Most of it goes to the errors of the new engine:
usually there are no others.
"""

import math
from dataclasses import dataclass
from typing import Final

from inspectd.binomial import mcnemar, upper_bound

MARGIN: Final = 0.1
"""The new engine may not err on this share of the labels more than the old one. Smaller margins need more photos than
people review in a shift: 0.1 needs 31 on each side, 0.01 needs 321."""
_NEW, _OLD = 0.96, 0.99
"""Confidence of the two bounds; together 0.95."""
FIT_ONE_IN: Final = 3
"""One in so many reviewed photos fits the new engine; the others prove it."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Errors of the old and of the new engine on the same `n` photos. `only_new`: only the new engine errs."""

    n: int
    both: int
    only_old: int
    only_new: int

    @property
    def old(self) -> int:
        return self.both + self.only_old

    @property
    def new(self) -> int:
        return self.both + self.only_new

    @property
    def difference_at_most(self) -> float:
        """Upper bound, at 95 %, of the new engine's share of errors minus that of the old one. 1.0 without photos."""
        if not self.n:
            return 1.0
        only_old_at_least = 1 - upper_bound(self.n - self.only_old, self.n, _OLD)
        return upper_bound(self.only_new, self.n, _NEW) - only_old_at_least

    @property
    def is_shown(self) -> bool:
        """Whether these photos prove that the new engine is not worse by the margin. It may not err more often here, either."""
        return self.only_new <= self.only_old and self.difference_at_most <= MARGIN

    @property
    def p_value(self) -> float:
        """McNemar's exact test: can the difference between the two be chance?"""
        return mcnemar(self.only_old, self.only_new)

    def more_needed(self) -> int:
        """So many more photos on which both engines agree would prove it; 0: it is proven."""
        more = 0
        while not Paired(self.n + more, self.both, self.only_old, self.only_new).difference_at_most <= MARGIN:
            more += 1
        return more


def photos_to_show(share: float) -> int:
    """How many photos, none of which only the new engine gets wrong, prove that it errs on at most `share` more of the labels."""
    return math.ceil(math.log(1 - _NEW) / math.log1p(-share))
