"""Which further reviewed photos would prove what. Pure arithmetic: the page imports it."""

import math
from collections.abc import Mapping
from typing import Final

from inspectd.learning.not_worse import FIT_ONE_IN, MARGIN, photos_to_show

_SHARES: Final = (MARGIN, 0.05, 0.02, 0.01)
_MOST_STEPS = 2
"""Of each side."""


def wanted(counts: Mapping[str, int], pass_class: str) -> list[str]:
    """How many more reviewed parts let `inspectd learn` prove how much, if the new engine makes no new error on them.

    `counts`: label -> parts on which all reviewers agree; every label except `pass_class` must be rejected, `unknown` too. This
    is a lower bound: faulty ones count only if the engine in use rejects them, and good ones only if it lets them pass.
    Two sentences per side, the nearest goal first. The first goal of each side is needed before any new engine is accepted.
    """
    good = counts.get(pass_class, 0)
    bad = sum(counts.values()) - good
    return [
        *_steps(bad, "faulty or unknown", "pass"),
        *_steps(good, "good", "are rejected"),
    ]


def reviewed_to_show(share: float) -> int:
    """Reviewed parts of one side, of which those that do not fit the engine prove a difference of at most `share`."""
    return math.ceil(photos_to_show(share) * FIT_ONE_IN / (FIT_ONE_IN - 1))


def _steps(have: int, what: str, happens: str) -> list[str]:
    missing = [(share, reviewed_to_show(share) - have) for share in _SHARES]
    return [
        f"{more} more {what} ones: proves that at most {share:.0%} more of the {what} ones {happens} than now"
        for share, more in missing
        if more > 0
    ][:_MOST_STEPS]
