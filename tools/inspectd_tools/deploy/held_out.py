"""What the test parts say of the guarantee: do as few of them pass as it says, and do they look like the calibration parts?"""

from dataclasses import dataclass

from inspectd.inference.manifest import Threshold
from inspectd.learning.by_kind import ByKind
from inspectd.learning.rates import CONFIDENCE, Values

_WHAT_TO_DO = 'See "If a check fails" in docs/training/threshold.md.'


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the guarantee, as a sentence. `holds`: the test parts do not contradict the guarantee."""

    sentence: str
    holds: bool


def check_guarantee(calibration: ByKind, test: ByKind, threshold: Threshold) -> tuple[Check, Check]:
    """Whether the test parts that pass contradict the bound, and whether calibration and test parts differ.

    Each check warns by mistake in at most 5 % of the builds.
    """
    return _check_bound(test, threshold), _check_likeness(calibration, test)


def _check_bound(test: ByKind, threshold: Threshold) -> Check:
    """Exact one-sided binomial test per side, with Holm's correction."""
    from scipy.stats import binom  # takes a second to import

    sides = {
        name: values for name, values in (("faulty", test.all_faulty), ("unknown", test.all_unknown)) if len(values)
    }
    if not sides:
        return Check("The bound was not tested: there is no faulty and no unknown test part.", True)
    passed = {name: int((values >= threshold.value).sum()) for name, values in sides.items()}
    p = {name: float(binom.sf(passed[name] - 1, len(values), threshold.alpha)) for name, values in sides.items()}
    seen = " and ".join(f"{passed[name]} of {len(values)} {name} test parts" for name, values in sides.items())
    found = f"exact binomial test, {_listed(p)}"
    refuted = _refuted(p)
    if refuted:
        return Check(
            f"WARNING: the test contradicts the bound: {seen} pass, too many {' and '.join(refuted)} ones for a bound of "
            f"{threshold.alpha:.2%} ({found}). {_WHAT_TO_DO}",
            False,
        )
    return Check(f"The test agrees with the bound of {threshold.alpha:.2%}: {seen} pass ({found}).", True)


def _check_likeness(calibration: ByKind, test: ByKind) -> Check:
    """Two-sample test of Kolmogorov and Smirnov per side, with Holm's correction."""
    from scipy.stats import ks_2samp

    pairs: dict[str, tuple[Values, Values]] = {
        "good": (calibration.good, test.good),
        "faulty": (calibration.all_faulty, test.all_faulty),
        "unknown": (calibration.all_unknown, test.all_unknown),
    }
    p = {
        name: float(ks_2samp(ours, theirs).pvalue)
        for name, (ours, theirs) in pairs.items()
        if len(ours) and len(theirs)
    }
    found = f"Kolmogorov-Smirnov test of the certainties, {_listed(p)}"
    refuted = _refuted(p)
    if refuted:
        return Check(
            f"WARNING: calibration and test parts differ: {' and '.join(refuted)} ones have other certainties ({found}). The "
            f"bound holds only for labels like the calibration parts. {_WHAT_TO_DO}",
            False,
        )
    return Check(f"No difference between calibration and test parts was found ({found}).", True)


def _refuted(p: dict[str, float]) -> list[str]:
    """The names whose hypothesis is rejected (Holm, Scandinavian Journal of Statistics 6, 1979), in the order of `p`."""
    rejected: set[str] = set()
    for place, name in enumerate(sorted(p, key=lambda name: p[name])):
        if p[name] > (1 - CONFIDENCE) / (len(p) - place):
            break
        rejected.add(name)
    return [name for name in p if name in rejected]


def _listed(p: dict[str, float]) -> str:
    return ", ".join(f"{name} p = {value:.2g}" for name, value in p.items())
