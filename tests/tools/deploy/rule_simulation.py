"""A simulation of the whole rule of the threshold: how often is its bound broken? Draws from known distributions, so the truth is exact.

By hand, with more draws: python -m tests.tools.deploy.rule_simulation 20000
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import Tries, choose_threshold, choose_within, usual_alpha
from inspectd_tools.deploy.parts import parts_of

NAMES = ("no_fail", "crooked", "half", "unknown_oil")
GOOD, CROOKED, HALF, OIL = range(4)
SHAPE = {GOOD: 0.3, CROOKED: 6.0, HALF: 12.0, OIL: 3.0}
"""The certainty of a part of this kind has the distribution Beta(1, shape): it exceeds t with probability (1 - t) ** shape."""


@dataclass(frozen=True, slots=True)
class Photos:
    certainty: np.ndarray
    labels: np.ndarray
    groups: list[int]
    digests: list[int]

    def by_kind(self) -> ByKind:
        return ByKind.of(self.certainty, self.labels, parts_of(self.groups, self.digests), NAMES, "no_fail")


@dataclass(frozen=True, slots=True)
class Setting:
    """A calibration set, and how the threshold is chosen from it."""

    parts: dict[int, int]
    """Label -> how many parts are drawn."""
    alphas: tuple[float, ...] | None = (0.03,)
    """None: the lowest bound that so few parts can show."""
    photos_per_part: int = 1
    """At most. The number of each part is drawn."""
    copies: int = 1
    """Each file is there so many times, in a group of its own."""
    stopped: float = 0
    """Share of the bad parts that a guard rejects, whatever their certainty."""
    rejected: float | None = None
    """Share of the good parts that may be rejected, at the cost of the bound. None: any."""


SETTINGS = {
    "plain": Setting({CROOKED: 99}),
    "two sides, two faults": Setting({CROOKED: 50, HALF: 50, OIL: 99}),
    "1 to 5 photos per part": Setting({CROOKED: 99, OIL: 99}, photos_per_part=5),
    "each photo 4 times": Setting({CROOKED: 99, OIL: 99}, copies=4),
    "few photos": Setting({CROOKED: 10, OIL: 14}, alphas=None),
    "many errors": Setting({CROOKED: 500}, alphas=(0.2,)),
    "five bounds at once": Setting({CROOKED: 300}, alphas=(0.02, 0.05, 0.1, 0.2, 0.4)),
    "a guard": Setting({CROOKED: 99, OIL: 99}, stopped=0.6),
    "a cap, few photos": Setting({GOOD: 24, CROOKED: 10, OIL: 14}, alphas=None, rejected=0.05),
    "a cap that decides": Setting({GOOD: 20, CROOKED: 20, HALF: 20}, alphas=None, rejected=0.05),
    "a cap that decides now and then": Setting({GOOD: 20, CROOKED: 60, OIL: 40}, alphas=(0.1,), rejected=0.3),
    "all of it": Setting({CROOKED: 150, OIL: 150}, alphas=(0.03, 0.1), photos_per_part=3, copies=2, stopped=0.3),
}

Thresholds = Callable[[Photos, Setting], list[tuple[float, float]]]
"""Calibration photos -> (alpha, threshold) of each bound that is promised."""


def rule(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    kinds = photos.by_kind()
    alphas = setting.alphas or (usual_alpha(kinds),)
    tries = Tries(len(alphas), 1)
    if setting.rejected is not None:
        within = [choose_within(kinds, alpha, tries.each, rejected=setting.rejected) for alpha in alphas]
        return [(alpha, threshold) for threshold, alpha in within]
    return [(alpha, choose_threshold(kinds.all_faulty, kinds.all_unknown, alpha, tries.each)) for alpha in alphas]


def broken(setting: Setting, thresholds: Thresholds, draws: int, seed: int = 0) -> int:
    """In how many of `draws` calibration sets more than alpha of all faulty, or of all unknown, parts pass at any of its thresholds."""
    rng = np.random.default_rng(seed)
    return sum(_is_broken(setting, thresholds(draw(setting, rng), setting)) for _ in range(draws))


def draw(setting: Setting, rng: np.random.Generator) -> Photos:
    """The photos of a part differ by up to 5 %, and the best one shows its certainty."""
    labels = np.repeat(list(setting.parts), list(setting.parts.values()))
    certainty = rng.beta(1, [SHAPE[label] for label in labels])
    certainty[rng.random(len(labels)) < setting.stopped] = 0
    counts = rng.integers(1, setting.photos_per_part + 1, len(labels))
    part = np.repeat(np.arange(len(labels)), counts)
    less = rng.uniform(0.95, 1, len(part))
    less[np.r_[0, np.cumsum(counts)[:-1]]] = 1
    file = np.tile(np.arange(len(part)), setting.copies)
    group = np.repeat(np.arange(setting.copies), len(part)) * len(labels) + part[file]
    return Photos((certainty[part] * less)[file], labels[part][file], group.tolist(), file.tolist())


def _is_broken(setting: Setting, promised: Sequence[tuple[float, float]]) -> bool:
    return any(
        _passes(setting, side, threshold) > alpha for side in ((CROOKED, HALF), (OIL,)) for alpha, threshold in promised
    )


def _passes(setting: Setting, side: Sequence[int], threshold: float) -> float:
    """The share of all parts of this side, in the mix of the setting, that pass. Exact."""
    n = sum(setting.parts.get(label, 0) for label in side)
    shares = [setting.parts.get(label, 0) * (1 - threshold) ** SHAPE[label] for label in side]
    return (1 - setting.stopped) * sum(shares) / n if n else 0


# the mistakes of earlier versions


def photos_as_parts(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """Each photo counts, though it shows a part that another photo shows, too."""
    alone = list(range(len(photos.labels)))
    return rule(replace(photos, groups=alone, digests=alone), setting)


def copies_as_parts(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """Equal files count each time."""
    return rule(replace(photos, digests=list(range(len(photos.labels)))), setting)


def bounds_unpaid(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """Each of several bounds gets the whole 5 %, and the user takes the one that looks best."""
    kinds = photos.by_kind()
    return [(alpha, choose_threshold(kinds.all_faulty, kinds.all_unknown, alpha)) for alpha in setting.alphas]


def share_seen(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """The share that passes in calibration, taken for the share that will pass."""
    kinds = photos.by_kind()
    return [(alpha, float(np.quantile(kinds.all_faulty, 1 - alpha))) for alpha in setting.alphas]


def sides_pooled(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """One bound on faulty and unknown parts together, so that easy ones hide the passes of others."""
    kinds = photos.by_kind()
    together = np.concatenate([kinds.all_faulty, kinds.all_unknown])
    return [(alpha, choose_threshold(together, together[:0], alpha)) for alpha in setting.alphas]


def hardest_left_out(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """The photo that decides is taken for a labelling error and left out."""
    kinds = photos.by_kind()
    kept = np.sort(kinds.all_faulty)[:-1]
    return [(alpha, choose_threshold(kept, kept[:0], alpha)) for alpha in setting.alphas]


def more_than_few_can_show(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """None of the parts passes, and any bound is promised."""
    return [(alpha, float(photos.by_kind().all_faulty.max())) for alpha in setting.alphas]


def cap_with_the_bound_asked_for(photos: Photos, setting: Setting) -> list[tuple[float, float]]:
    """The cap lowers the threshold, and the bound stays."""
    asked = setting.alphas or (usual_alpha(photos.by_kind()),)
    return [(alpha, threshold) for alpha, (_, threshold) in zip(asked, rule(photos, setting), strict=True)]


MISTAKES: dict[str, tuple[Thresholds, Setting]] = {
    "photos counted as parts": (photos_as_parts, SETTINGS["1 to 5 photos per part"]),
    "copies counted as parts": (copies_as_parts, SETTINGS["each photo 4 times"]),
    "several bounds without paying": (bounds_unpaid, SETTINGS["five bounds at once"]),
    "the share seen as a bound": (share_seen, SETTINGS["plain"]),
    "faulty and unknown pooled": (sides_pooled, SETTINGS["two sides, two faults"]),
    "the hardest photo left out": (hardest_left_out, Setting({CROOKED: 100})),
    "a cap, the bound asked for": (cap_with_the_bound_asked_for, SETTINGS["a cap that decides"]),
    "few photos, the usual bound": (more_than_few_can_show, Setting({CROOKED: 10}, alphas=(0.05,))),
}


def main(draws: int) -> None:
    print(f"calibration sets of {draws} whose bound is broken (at most 5 % may be)")
    for name, setting in SETTINGS.items():
        count = broken(setting, rule, draws)
        print(f"  {name:30} {count:6} {count / draws:.2%}")
    print("with a mistake of an earlier version put back")
    for name, (thresholds, setting) in MISTAKES.items():
        count = broken(setting, thresholds, draws)
        print(f"  {name:30} {count:6} {count / draws:.2%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)
