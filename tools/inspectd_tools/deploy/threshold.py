"""The certainty threshold, and what is promised of it.

The promise: at the threshold at most `alpha` of the faulty and at most `alpha` of the unknown labels pass, unless the
calibration images were an unlucky draw, which happens with probability 1 - CONFIDENCE. It holds for labels drawn as these
images were (exchangeability): another product, lamp or camera is another population.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from inspectd.binomial import upper_bound
from inspectd.errors import EngineError
from inspectd.inference.manifest import Passed, Threshold
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.metrics.rates import CONFIDENCE, Values, false_rejects

USUAL_ALPHA = 0.0025
_GIVEN_UP = 0.01
"""Share of the good images that may be rejected in place of unknown ones nobody has shown."""
_GRID = np.linspace(0, 1, 1001, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Groups:
    """Pass certainties of images, by what they show; a dictionary's keys are fault classes or kinds of unknowns."""

    good: Values
    faulty: dict[str, Values]
    unknown: dict[str, Values]

    @classmethod
    def of(cls, certainty: dict[str, Values], pass_class: str) -> "Groups":
        """From folder name -> values; the folders of unknowns are those whose names begin with `unknown_`."""
        bad = {name: values for name, values in certainty.items() if name != pass_class}
        return cls(
            certainty[pass_class],
            {name: values for name, values in bad.items() if not name.startswith(UNKNOWN)},
            {name: values for name, values in bad.items() if name.startswith(UNKNOWN)},
        )

    def joined(self, other: "Groups") -> "Groups":
        """The images of both."""

        def join(a: dict[str, Values], b: dict[str, Values]) -> dict[str, Values]:
            return {name: np.concatenate([side[name] for side in (a, b) if name in side]) for name in a | b}

        return Groups(
            np.concatenate([self.good, other.good]), join(self.faulty, other.faulty), join(self.unknown, other.unknown)
        )

    @property
    def all_faulty(self) -> Values:
        return np.concatenate([np.empty(0, np.float32), *self.faulty.values()])

    @property
    def all_unknown(self) -> Values:
        return np.concatenate([np.empty(0, np.float32), *self.unknown.values()])


def usual_alpha(groups: Groups) -> float:
    """USUAL_ALPHA, or the smallest bound that so few images can show."""
    counts = [len(values) for values in (groups.all_faulty, groups.all_unknown) if len(values)]
    return max([USUAL_ALPHA, *(upper_bound(0, n, CONFIDENCE) for n in counts)])


def choose_threshold(faulty: Values, unknown: Values, alpha: float) -> float:
    """The lowest threshold at which no faulty image passes and the rate of unknown ones that do is at most `alpha`.

    `faulty`, `unknown`: pass certainties of calibration images. The one-sided bound (Clopper-Pearson) must hold in each
    group for itself: many easy ones of one kind must not buy passes of another.

    It is the threshold that fixed-sequence testing from strict to lax arrives at (Angelopoulos et al., Learn then Test,
    2021), so trying many needs no correction and the promise holds for both groups at once. Because a lower threshold
    can only let more pass, the last step passed lies just above the first certainty that is one too many; and for the
    same reason certainties seen may stand among the candidates. An absent group promises nothing.

    Raises EngineError if a group has too few images for `alpha`, or if images that must not pass have certainty 1.
    """
    for name, group in (("faulty", faulty), ("unknown", unknown)):
        if len(group) and upper_bound(0, len(group), CONFIDENCE) > alpha:
            raise EngineError(
                f"at most {alpha:.2%} false accepts can't be shown: that needs {images_needed(alpha)} {name} calibration images, "
                f"got {len(group)}; give more, or a larger --alpha"
            )
    allowed = most_allowed(len(unknown), alpha)
    too_many = max(
        faulty.max(initial=-math.inf), np.sort(unknown)[::-1][allowed] if len(unknown) > allowed else -math.inf
    )
    candidates = np.concatenate([faulty, unknown, _GRID])
    higher = candidates[candidates > too_many]
    if not len(higher):
        raise EngineError(
            f"no threshold lets at most {alpha:.2%} false accepts pass: {int((faulty >= 1).sum())} faulty and "
            f"{int((unknown >= 1).sum())} unknown calibration images have certainty 1; this network does not know what it does not know"
        )
    return float(higher.min())


@cache
def most_allowed(n: int, alpha: float) -> int:
    """The most errors of `n` whose upper bound is still at most `alpha`; 0 for n = 0."""
    errors = 0
    while errors < n and upper_bound(errors + 1, n, CONFIDENCE) <= alpha:
        errors += 1
    return errors


def images_needed(alpha: float) -> int:
    """So many, none of them passed, show a rate of at most `alpha`."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-alpha))


def calibrate(groups: Groups, fingerprint: str, alpha: float, remark: str = "") -> Threshold:
    """The threshold for `alpha` with its bounds. `fingerprint`: of the images; `remark` ends the sentence on the method.

    Faults alone may ask for next to no certainty, which would let anything unknown pass. So where no unknown image was given
    the threshold is as strict as the good ones allow: 1 % of them are given up.

    The bounds are counted on the images that chose the threshold. As many as `most_allowed` could have passed, and which
    number it became was chosen too, so each bound holds for all these numbers at once (Bonferroni). Good images choose
    nothing, or a number fixed beforehand: their interval needs no correction. Raises EngineError.
    """
    if not len(groups.good):
        raise EngineError("no good calibration image is given: what the threshold costs can't be told")
    faulty, unknown = groups.all_faulty, groups.all_unknown
    # at 0 whatever looks most like a good label passes
    value = max(choose_threshold(faulty, unknown, alpha), float(_GRID[1]))
    method = f"lowest threshold with no faulty calibration image passed and at most {alpha:.2%} unknown ones (Clopper-Pearson "
    method += "bound), tried from strict to lax"
    if not len(unknown):
        value = max(value, float(np.sort(groups.good)[int(_GIVEN_UP * len(groups.good))]))
        method = f"as high as at most {_GIVEN_UP:.0%} of the good calibration images allow, as there were no unknown ones, and "
        method += "with no faulty one passed"
    confidence = 1 - (1 - CONFIDENCE) / (most_allowed(len(unknown), alpha) + 1)

    def passed(values: Values) -> Passed:
        errors = int((values >= value).sum())
        return Passed(passed=errors, n=len(values), bound=upper_bound(errors, len(values), confidence))

    rejected = false_rejects(groups.good, value)
    return Threshold(
        value=value,
        method=method + remark,
        calibration_fingerprint=fingerprint,
        n_good=len(groups.good),
        n_bad=len(faulty) + len(unknown),
        false_accept_bound=passed(np.concatenate([faulty, unknown])).bound,
        confidence=CONFIDENCE,
        false_reject_rate=rejected.share,
        alpha=alpha,
        false_accepts={name: passed(values) for name, values in (groups.faulty | groups.unknown).items()},
        false_reject_interval=rejected.interval,
    )


def promise(threshold: Threshold) -> str:
    """What the bound asked for says, and of which labels, as a clause."""
    share = f"at most {threshold.alpha:.2%} of the"
    if any(name.startswith(UNKNOWN) for name in threshold.false_accepts):
        return f"{share} faulty labels, and {share} unknown ones, pass"
    return f"{share} faulty labels pass, and of unknown ones nobody knows how many"


def broken_promises(groups: Groups, n_faulty: int, n_unknown: int, alpha: float, draws: int, seed: int = 0) -> int:
    """In how many of so many random calibration sets the threshold lets more than `alpha` of either group pass.

    The groups stand for all labels there will ever be; each draw takes `n_faulty` and `n_unknown` of them without putting
    any back, which is what the promise is about. At most 1 - CONFIDENCE of the draws may break it.
    """
    faulty, unknown = groups.all_faulty, groups.all_unknown
    rng = np.random.default_rng(seed)
    broken = 0
    for _ in range(draws):
        try:
            value = choose_threshold(
                rng.choice(faulty, n_faulty, replace=False), rng.choice(unknown, n_unknown, replace=False), alpha
            )
        except EngineError:  # no threshold, no engine: nothing passes
            continue
        broken += any(len(group) and (group >= value).mean() > alpha for group in (faulty, unknown))
    return broken
