"""The threshold of a font, from lines that say the right text and from texts that they nearly say.

A near miss needs no wrong print: whether a line that says 5 is accepted as 6 shows as much as the other way round. Each line
is compared with many wrong texts and counts once, with the one that fits best.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.binomial import interval, upper_bound
from inspectd.errors import EngineError
from inspectd.learning.rates import CONFIDENCE
from inspectd.learning.threshold import most_allowed, parts_needed
from inspectd.terminal import track
from inspectd.text.judging import Judge
from inspectd.text.manifest import Font
from inspectd_tools.text.lines import Line
from inspectd_tools.text.texts import all_confused, near_misses, pattern_of

USUAL_ALPHA: Final = 0.002
"""At most this share of the lines is accepted as one of its near misses."""
_ALLOWED: Final = 2
"""Of so many calibration lines a near miss may be accepted: otherwise one badly printed line would choose the threshold."""
_MOST_REJECTED: Final = 0.01
"""A font of which more right lines are rejected has not been learned."""
_LIKELY: Final = math.log(0.5)
"""A text that is more probable than not is more probable than every other text."""
_TRIED: Final = 3
"""Near misses of each kind per line."""

LogProbs = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(32, w) uint8 -> (w / 4, symbols)"""


@dataclass(frozen=True, slots=True)
class Scored:
    """Logarithms of likelihoods, of lines that say the right text."""

    lines: Sequence[Line]
    right: NDArray[np.float64]
    """(N,)"""
    near_miss: NDArray[np.float64]
    """(N,): of the wrong text that fits best."""
    near_miss_texts: Sequence[str]


def lines_needed(alpha: float) -> int:
    """How many lines show `alpha` although `_ALLOWED` of them are accepted as a near miss: 3 147 for `USUAL_ALPHA`."""
    count = parts_needed(alpha)
    while most_allowed(count, alpha) < _ALLOWED:
        count += max(count // 1000, 1)
    return count


def score(
    name: str, characters: str, lines: Sequence[Line], log_probs: LogProbs, judge: Judge, rng: np.random.Generator
) -> Scored:
    """`name`: of the font, for the progress bar. `characters`: that a text in this font may have."""
    right, worst, worst_texts = [], [], []
    for line in track(lines, f"calibrating {name}", transient=True):
        wrong = sorted({other for _ in range(_TRIED) for other in near_misses(line.text, rng).values()})
        wrong += all_confused(line.text)
        wrong = [other for other in wrong if set(other) <= set(characters + " ")]
        texts = [line.text, *wrong]
        own, *others = judge.log_likelihoods(log_probs(line.crop), texts, [pattern_of(text) for text in texts])
        right.append(own)
        worst.append(max(others))
        worst_texts.append(wrong[int(np.argmax(others))])
    return Scored(lines, np.array(right), np.array(worst), worst_texts)


def calibrated(name: str, characters: str, scored: Scored, made_from: str, alpha: float) -> Font:
    """The font with its threshold: that of a text that is more probable than not, or higher if near misses need it.

    At most `alpha` of the near misses are accepted (Clopper-Pearson bound), or, with fewer lines than that needs, the least that
    they can show. The right lines choose nothing. Raises EngineError if too many right lines are rejected.
    """
    count = len(scored.right)
    alpha = max(alpha, upper_bound(0, count, CONFIDENCE))
    first_refused = float(np.sort(scored.near_miss)[::-1][most_allowed(count, alpha)])
    threshold = max(_LIKELY, float(np.nextafter(first_refused, 1)))
    rejected = int((scored.right < threshold).sum())
    accepted = int((scored.near_miss >= threshold).sum())
    if threshold >= 0 or rejected > math.ceil(_MOST_REJECTED * count):
        raise EngineError(
            f"the font {name} is not learned: of {count} right lines {rejected} are rejected at the threshold {threshold:.4g}, which its near "
            f"misses need; at most {_MOST_REJECTED:.1%} are allowed. Train on with more steps (the network is in model.onnx), or give more crops"
        )
    return Font(
        threshold=threshold,
        method="likelihood of one half, or higher, so that at most alpha of the near misses are accepted (Clopper-Pearson bound)",
        made_from=made_from,
        characters=characters,
        right=count,
        right_rejected=rejected,
        right_rejected_interval=interval(rejected, count),
        near_misses=count,
        near_misses_accepted=accepted,
        false_accept_bound=upper_bound(accepted, count, CONFIDENCE),
        alpha=alpha,
        confidence=CONFIDENCE,
    )
