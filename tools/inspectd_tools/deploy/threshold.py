"""The certainty threshold, and its guarantee.

The guarantee: at the threshold at most `alpha` of the faulty and at most `alpha` of the unknown labels pass, unless the
calibration images were an unlucky draw, which has probability 1 - CONFIDENCE. It holds for labels that are drawn like these
images (exchangeability), so not for another product, lamp or camera.
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
"""Share of the good calibration images that may be rejected where there are no unknown images to choose the threshold."""
_GRID = np.linspace(0, 1, 1001, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Groups:
    """Pass certainties of images, by what they show. The keys of the dictionaries are fault classes and kinds of unknowns."""

    good: Values
    faulty: dict[str, Values]
    unknown: dict[str, Values]

    @classmethod
    def of(cls, certainty: dict[str, Values], pass_class: str) -> "Groups":
        """From folder name -> values. The names of folders of unknowns begin with `unknown_`."""
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
    """USUAL_ALPHA, or the lowest bound that so few images can show."""
    counts = [len(values) for values in (groups.all_faulty, groups.all_unknown) if len(values)]
    return max([USUAL_ALPHA, *(upper_bound(0, n, CONFIDENCE) for n in counts)])


def choose_threshold(faulty: Values, unknown: Values, alpha: float) -> float:
    """The lowest threshold at which no faulty image passes and the rate of unknown ones that do is at most `alpha`.

    `faulty`, `unknown`: pass certainties of calibration images. The one-sided bound (Clopper-Pearson) must hold for each
    group alone, so that many easy images of one kind can't hide the passes of another.

    The threshold is that of fixed-sequence testing from strict to lax (Angelopoulos et al., Learn then Test, 2021), so
    trying many thresholds needs no correction, and the guarantee holds for both groups at once. A lower threshold can only
    let more images pass. So the last threshold that is accepted is just above the first certainty that is one too many,
    and certainties of the calibration images may be candidates. There is no guarantee for a group without images.

    Raises EngineError if a group has too few images for `alpha`, or if images that must not pass have certainty 1.
    """
    for name, group in (("faulty", faulty), ("unknown", unknown)):
        if len(group) and upper_bound(0, len(group), CONFIDENCE) > alpha:
            raise EngineError(
                f"at most {alpha:.2%} false accepts can't be shown: that needs {images_needed(alpha)} {name} calibration images, "
                f"but there are {len(group)}; give more images or a larger --alpha"
            )
    allowed = most_allowed(len(unknown), alpha)
    too_many = max(
        faulty.max(initial=-math.inf), np.sort(unknown)[::-1][allowed] if len(unknown) > allowed else -math.inf
    )
    candidates = np.concatenate([faulty, unknown, _GRID])
    higher = candidates[candidates > too_many]
    if not len(higher):
        raise EngineError(
            f"no threshold keeps false accepts to at most {alpha:.2%}: the network gives certainty 1 to {int((faulty >= 1).sum())} "
            f"faulty and {int((unknown >= 1).sum())} unknown calibration images, which it must reject; add such images to "
            "training, or lower length_scale"
        )
    return float(higher.min())


@cache
def most_allowed(n: int, alpha: float) -> int:
    """The largest number of errors among `n` whose upper bound is still at most `alpha`; 0 for n = 0."""
    errors = 0
    while errors < n and upper_bound(errors + 1, n, CONFIDENCE) <= alpha:
        errors += 1
    return errors


def images_needed(alpha: float) -> int:
    """How many images, none of which passes, show a rate of at most `alpha`."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-alpha))


def calibrate(groups: Groups, fingerprint: str, alpha: float, remark: str = "") -> Threshold:
    """The threshold for `alpha` with its bounds. `fingerprint`: of the images; `remark`: end of the sentence on the method.

    Faulty images alone may need almost no certainty, and then any unknown label would pass. So without unknown images the
    threshold is as strict as the good images allow: 1 % of them may be rejected.

    The bounds are counted on the images that chose the threshold. Up to `most_allowed` of them may pass, and the choice
    decides how many do, so each bound holds for all these numbers at once (Bonferroni). The good images choose nothing, or a
    number that was fixed before, so their interval needs no correction. Raises EngineError.
    """
    if not len(groups.good):
        raise EngineError(
            "there is no good calibration image, so the false-reject rate can't be measured; give images of the pass class"
        )
    faulty, unknown = groups.all_faulty, groups.all_unknown
    # at 0 every image whose largest score is that of the pass class passes
    value = max(choose_threshold(faulty, unknown, alpha), float(_GRID[1]))
    method = (
        f"lowest threshold at which no faulty calibration image passes and at most {alpha:.2%} of the unknown ones "
    )
    method += "(Clopper-Pearson bound), tried from strict to lax"
    if not len(unknown):
        value = max(value, float(np.sort(groups.good)[int(_GIVEN_UP * len(groups.good))]))
        method = (
            f"highest threshold that rejects at most {_GIVEN_UP:.0%} of the good calibration images, as there were no "
        )
        method += "unknown ones; no faulty one passes"
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


def broken_guarantees(groups: Groups, n_faulty: int, n_unknown: int, alpha: float, draws: int, seed: int = 0) -> int:
    """How many of `draws` random calibration sets give a threshold at which more than `alpha` of a whole group passes.

    The groups represent all labels there will ever be. Each calibration set is `n_faulty` and `n_unknown` of them, drawn without
    replacement. The guarantee may be broken by a share of at most 1 - CONFIDENCE of the sets.
    """
    faulty, unknown = groups.all_faulty, groups.all_unknown
    rng = np.random.default_rng(seed)
    broken = 0
    for _ in range(draws):
        try:
            value = choose_threshold(
                rng.choice(faulty, n_faulty, replace=False), rng.choice(unknown, n_unknown, replace=False), alpha
            )
        except EngineError:  # without a threshold there is no engine, so nothing passes
            continue
        broken += any(len(group) and (group >= value).mean() > alpha for group in (faulty, unknown))
    return broken
