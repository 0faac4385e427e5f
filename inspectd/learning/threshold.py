"""The certainty threshold, and its guarantee.

The guarantee: at the threshold at most `alpha` of the faulty and at most `alpha` of the unknown labels pass, unless the
calibration parts were an unlucky draw, which has probability 1 - CONFIDENCE. It holds for labels that are drawn like these
parts (exchangeability), so not for another product, lamp or camera. It counts parts: photos of one part count once, as they
say less than photos of as many parts.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from inspectd.binomial import upper_bound
from inspectd.errors import EngineError
from inspectd.inference.manifest import Passed, Threshold
from inspectd.learning.by_kind import ByKind
from inspectd.learning.cap import highest_within, passing, shown_at
from inspectd.learning.rates import CONFIDENCE, Values, false_rejects

USUAL_ALPHA = 0.0025
_GIVEN_UP = 0.01
"""Share of the good calibration parts that may be rejected where there are no unknown parts to choose the threshold."""
_OWN_SAY = 0.0025
"""Share of the good calibration parts that certainty alone may reject where a guard stops the bad ones."""
_GRID = np.linspace(0, 1, 1001, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Tries:
    """How many values of alpha a build tries at once, and how many such sets of values were tried on its calibration photos."""

    values: int
    sets: int
    """With this one."""

    @property
    def each(self) -> float:
        """Confidence of each bound alone: the values of one set share the 5 %."""
        return 1 - (1 - CONFIDENCE) / self.values

    @property
    def claimed(self) -> float:
        """Confidence that every bound which was tried on these photos holds, and so the one that was chosen."""
        return round(1 - (1 - CONFIDENCE) * self.sets, 6)

    @property
    def remark(self) -> str:
        """For the sentence on the method; empty for one value that was tried once."""
        said = f"; {self.values} values of alpha were tried at once" if self.values > 1 else ""
        if self.sets > 1:
            said += f"; --alpha or --good-rejected was changed {self.sets - 1} time(s) on these photos, so the confidence is "
            said += f"{self.claimed:.0%}"
        return said


ONE_TRY = Tries(1, 1)


def usual_alpha(kinds: ByKind) -> float:
    """USUAL_ALPHA, or the lowest bound that so few parts can show."""
    counts = [len(values) for values in (kinds.all_faulty, kinds.all_unknown) if len(values)]
    return max([USUAL_ALPHA, *(_lowest(n, CONFIDENCE) for n in counts)])


def check_enough(faulty: Values, unknown: Values, alpha: float, confidence: float) -> None:
    """Raises EngineError if there are too few faulty or unknown parts to show `alpha`. Looks at their numbers alone."""
    for name, values in (("faulty", faulty), ("unknown", unknown)):
        if len(values) and _lowest(len(values), confidence) > alpha:
            raise EngineError(
                f"at most {alpha:.2%} false accepts can't be shown: that needs {parts_needed(alpha, confidence)} {name} "
                f"calibration parts, but there are {len(values)}; give photos of more parts or a larger --alpha"
            )


@cache
def _lowest(n: int, confidence: float) -> float:
    """The lowest alpha that `n` parts can show."""
    return upper_bound(0, n, confidence)


def choose_threshold(
    faulty: Values,
    unknown: Values,
    alpha: float,
    confidence: float = CONFIDENCE,
    *,
    margin: float = 0,
    at_least: float = 0,
) -> float:
    """The lowest threshold at which the rate of faulty parts that pass, and that of unknown ones, is at most `alpha`.

    `faulty`, `unknown`: pass certainties of calibration parts. The one-sided bound (Clopper-Pearson) must hold for
    each side alone, so that many easy parts of one side can't hide the passes of the other. `margin`: no certainty is below
    the threshold by less than this; the threshold is not below `at_least` either.

    The threshold is that of fixed-sequence testing from strict to lax (Angelopoulos et al., Learn then Test, 2021), so
    trying many thresholds needs no correction, and the guarantee holds for both sides at once. A lower threshold can only
    let more parts pass. So the last threshold that is accepted is just above the first certainty that is one too many,
    and certainties of the calibration parts may be candidates. There is no guarantee for a side without parts.

    Raises EngineError if a side has too few parts for `alpha`, or if too many parts have certainty 1.
    """
    check_enough(faulty, unknown, alpha, confidence)
    lowest = _lowest_safe(faulty, unknown, alpha, confidence, margin, at_least)
    if lowest is None:
        most = 1 - margin
        raise EngineError(
            f"no threshold keeps false accepts to at most {alpha:.2%}: the network gives certainty {most:g}{' or more' * (margin > 0)} "
            f"to {int((faulty >= most).sum())} faulty and {int((unknown >= most).sum())} unknown calibration parts, which it must "
            "reject; add such photos to training, or lower length_scale"
        )
    return lowest


def choose_within(
    kinds: ByKind,
    alpha: float,
    confidence: float,
    *,
    rejected: float,
    margin: float = 0,
    at_least: float = 0,
) -> tuple[float, float]:
    """The threshold of `choose_threshold`, or a lower one that rejects at most the share `rejected` of the good parts that can pass.

    Returns it with its bound: `alpha`, or the larger one that the parts show at the lower threshold. Only the good parts choose
    the lower threshold c, so its bound is valid. The choice between the two needs no correction. Let p(t) be the larger of the two
    true shares that pass at the threshold t. If p(c) < alpha, no bound is broken at c, and the other threshold breaks alpha with
    probability 1 - `confidence` at most. Otherwise alpha can only be broken at a threshold below c at which the parts show
    alpha. Then they show alpha at c, too, which breaks the bound that they show at c. So both ways together have the probability
    1 - `confidence` at most. Raises EngineError as `choose_threshold` does for too few parts.
    """
    faulty, unknown = kinds.all_faulty, kinds.all_unknown
    check_enough(faulty, unknown, alpha, confidence)
    cap = max(at_least, highest_within(kinds.good, rejected))
    lowest = _lowest_safe(faulty, unknown, alpha, confidence, margin, at_least)
    if lowest is not None and lowest <= cap:
        return lowest, alpha
    return cap, max(alpha, shown_at(cap, faulty, unknown, confidence, margin))


def _lowest_safe(
    faulty: Values, unknown: Values, alpha: float, confidence: float, margin: float, at_least: float
) -> float | None:
    """None: there is none."""
    too_many = max(_one_too_many(values, alpha, confidence) for values in (faulty, unknown))
    candidates = np.concatenate([faulty, unknown, _GRID, np.array([at_least], np.float32)])
    bad = np.sort(np.concatenate([np.array([-np.inf], np.float32), faulty, unknown]))
    gaps = candidates - bad[np.searchsorted(bad, candidates) - 1]
    higher = candidates[(candidates > too_many) & (candidates >= at_least) & (gaps >= margin)]
    return float(higher.min()) if len(higher) else None


def _floor(good: Values) -> float:
    """`good`: sorted certainties of good parts. So few parts that none of them may be below say nothing of such a small share:
    the next good part is below the lowest of n with probability 1 / (n + 1). So there it is the square of the lowest, which is
    the certainty at twice its squared distance.
    """
    below = int(_OWN_SAY * len(good))
    return float(good[below] if below else good[0] ** 2)


def _one_too_many(values: Values, alpha: float, confidence: float) -> float:
    """The largest certainty that must not pass; -inf if all may."""
    allowed = most_allowed(len(values), alpha, confidence)
    return float(np.sort(values)[::-1][allowed]) if len(values) > allowed else -math.inf


@cache
def most_allowed(n: int, alpha: float, confidence: float = CONFIDENCE) -> int:
    """The largest number of errors among `n` whose upper bound is still at most `alpha`; 0 for n = 0."""
    errors = 0
    while errors < n and upper_bound(errors + 1, n, confidence) <= alpha:
        errors += 1
    return errors


def parts_needed(alpha: float, confidence: float = CONFIDENCE) -> int:
    """How many parts, none of which passes, show a rate of at most `alpha`."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-alpha))


def calibrate(
    kinds: ByKind,
    fingerprint: str,
    alpha: float,
    remark: str = "",
    tries: Tries = ONE_TRY,
    *,
    margin: float = 0,
    good_alone: Values | None = None,
    rejected: float | None = None,
    at_least: float = 0,
) -> Threshold:
    """The threshold for `alpha` with its bounds. `fingerprint`: of the images; `remark`: end of the sentence on the method.

    `tries`: which values of alpha were tried on these images. `margin`: as in `choose_threshold`. Where a guard judges, too, a
    part that it stops has certainty 0 in `kinds`, and `good_alone` is the certainty of each good part by the network alone.

    Faulty parts alone may need almost no certainty, and then any unknown label would pass. So without unknown parts the
    threshold is as strict as the good parts allow: certainty may reject 1 % of them. With a guard that stops all bad parts
    almost no certainty would be needed either, and certainty would say nothing of kinds of unknowns that the guard can't see
    and that nobody calibrated with. So with a guard the threshold is at least where certainty alone rejects 0.25 % of the
    good parts. The good parts choose this floor, so it costs the bound nothing.

    The bounds are counted on the parts that chose the threshold. Up to `most_allowed` of each side may pass, and the choice
    decides how many do, so each bound holds for all these numbers at once (Bonferroni). The good parts choose nothing, or a
    number that was fixed before, so their interval needs no correction.

    `at_least`: the threshold is not lower, whatever these parts show; a higher one keeps the bound.
    `rejected`: the cap of `choose_within`; the cap is one more choice. Where it decides, `Threshold.alpha` is larger than `alpha`.
    Raises EngineError.
    """
    if not len(kinds.good):
        raise EngineError(
            "there is no good calibration part, so the false-reject rate can't be measured; give photos of the pass class"
        )
    faulty, unknown = kinds.all_faulty, kinds.all_unknown
    good = np.sort(kinds.good if good_alone is None else good_alone)
    passed_what = "pass" if good_alone is None else "pass network and guard"
    method = f"lowest threshold at which at most {alpha:.2%} of the faulty and of the unknown parts {passed_what} "
    method += "(Clopper-Pearson bound), tried from strict to lax"
    at_least = max(at_least, float(_GRID[1]))  # at 0 every part whose largest score is that of the pass class passes
    if not len(unknown):
        at_least = max(at_least, float(good[int(_GIVEN_UP * len(good))]))
        method = (
            f"highest threshold that rejects at most {_GIVEN_UP:.0%} of the good calibration parts, as there were no unknown "
            f"ones; at most {alpha:.2%} of the faulty ones {passed_what} (Clopper-Pearson bound)"
        )
    elif good_alone is not None:
        at_least = max(at_least, _floor(good))
        method += f", but not so low that certainty alone rejects fewer than about {_OWN_SAY:.2%} of the good ones"
    if rejected is None:
        value, shown = choose_threshold(faulty, unknown, alpha, tries.each, margin=margin, at_least=at_least), alpha
    else:
        value, shown = choose_within(kinds, alpha, tries.each, rejected=rejected, margin=margin, at_least=at_least)
    if shown > alpha:
        method = (
            f"highest threshold that rejects at most {rejected:.0%} of the good calibration parts that can pass; there at most "
            f"{shown:.2%} of the faulty {'and of the unknown ' * (len(unknown) > 0)}ones {passed_what} (Clopper-Pearson bound), and "
            f"not {alpha:.2%}"
        )
    allowed = {
        name: most_allowed(len(values), alpha, tries.each)
        for name, values in (("faulty", faulty), ("unknown", unknown))
    }

    def passed(values: Values, most: int) -> Passed:
        choices = min(most, len(values)) + 1 + (rejected is not None)
        errors, confidence = passing(values, value, margin), 1 - (1 - tries.each) / choices
        return Passed(passed=errors, n=len(values), bound=upper_bound(errors, len(values), confidence))

    lost = false_rejects(kinds.good, value)
    return Threshold(
        value=value,
        method=method + tries.remark + remark,
        calibration_fingerprint=fingerprint,
        n_good=len(kinds.good),
        n_bad=len(faulty) + len(unknown),
        false_accept_bound=passed(np.concatenate([faulty, unknown]), sum(allowed.values())).bound,
        confidence=tries.claimed,
        false_reject_rate=lost.share,
        alpha=shown,
        false_accepts={
            **{name: passed(values, allowed["faulty"]) for name, values in kinds.faulty.items()},
            **{name: passed(values, allowed["unknown"]) for name, values in kinds.unknown.items()},
        },
        false_reject_interval=lost.interval,
    )
