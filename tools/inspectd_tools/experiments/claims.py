"""Compare claims with results: do these runs agree, disagree, or can they not decide?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from inspectd_tools.experiments.aggregate import over, rank_correlation
from inspectd_tools.experiments.config import Best, Claim, Reaches, Wider
from inspectd_tools.experiments.plan import Run

Verdict = Literal["these runs agree", "these runs disagree", "these runs cannot decide"]
AGREE: Verdict = "these runs agree"
DISAGREE: Verdict = "these runs disagree"
UNDECIDED: Verdict = "these runs cannot decide"
_P = 0.05


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim, and what the runs say about it."""

    claim: Claim
    verdict: Verdict
    figures: str


@dataclass(frozen=True, slots=True)
class Value:
    """The final value of the claim's metric in one run."""

    run: Run
    value: float


def check(claim: Claim, values: Sequence[Value]) -> Checked:
    """Compare one claim with the results. `values`: of every run that has its metric."""
    looked = [value for value in values if not claim.parts or value.run.part in claim.parts]
    if not looked:
        return Checked(claim, UNDECIDED, f"no run has {claim.metric}")
    if isinstance(claim, Reaches):
        return _reaches(claim, looked)
    return _wider(claim, looked) if isinstance(claim, Wider) else _best(claim, looked)


def _reaches(claim: Reaches, values: Sequence[Value]) -> Checked:
    """Agree if all intervals are at or above the value; disagree if one interval is completely below it."""
    found = {name: over([v.value for v in values if v.run.variant == name]) for name in _variants(values)}
    above = sum(figures.mean >= claim.value for figures in found.values())
    surely = [figures.low >= claim.value for figures in found.values()]
    below = [figures.high < claim.value for figures in found.values()]
    verdict = AGREE if all(surely) else DISAGREE if any(below) else UNDECIDED
    worst = min(found, key=lambda name: found[name].mean)
    return Checked(
        claim,
        verdict,
        f"{above} of {len(found)} variants have a mean of {claim.value:g} or more; the lowest is {worst}: {found[worst]}",
    )


def _best(claim: Best, values: Sequence[Value]) -> Checked:
    """Differences between runs that are equal in everything else, including the seed; each with Student's interval."""
    partners: dict[str, dict[tuple[object, ...], float]] = {}
    for value in values:
        own = _of(value.run, claim.key)
        rest = tuple(sorted((key, str(v)) for key, v in value.run.options.items() if key != claim.key))
        part = () if claim.key == "part" else (value.run.part,)
        partners.setdefault(str(own), {})[(*part, rest, value.run.seed)] = value.value
    mine = partners.pop(str(claim.value), {})
    differences = {
        other: over([mine[key] - of_other[key] for key in mine.keys() & of_other.keys()])
        for other, of_other in partners.items()
        if mine.keys() & of_other.keys()
    }
    if not differences:
        return Checked(
            claim,
            UNDECIDED,
            f"no run with {claim.key} {claim.value} can be paired with a run that differs in nothing else",
        )
    lows, highs = [d.low for d in differences.values()], [d.high for d in differences.values()]
    verdict = AGREE if all(low > 0 for low in lows) else DISAGREE if any(high < 0 for high in highs) else UNDECIDED
    said = "; ".join(
        f"{other}: {_signed(figures.mean)}{_interval(figures.low, figures.high)}"
        for other, figures in differences.items()
    )
    return Checked(claim, verdict, f"{claim.metric} of {claim.value} minus that of {said}")


def _wider(claim: Wider, values: Sequence[Value]) -> Checked:
    """Rank correlation of the key with the distance of each run from the median of its variant.

    Brown and Forsythe (1974) measure spread by the same distance.
    """
    x, distance, deviations = [], [], {}
    for name in _variants(values):
        own = [value for value in values if value.run.variant == name]
        if len(own) < 2:
            continue
        middle = median(value.value for value in own)
        x += [float(str(_of(value.run, claim.key))) for value in own]
        distance += [abs(value.value - middle) for value in own]
        deviations[name] = over([value.value for value in own]).deviation
    correlation, p = rank_correlation(x, distance)
    verdict = UNDECIDED if p > _P or math.isnan(p) else AGREE if correlation > 0 else DISAGREE
    shown = ", ".join(f"{name} {deviation:.3g}" for name, deviation in deviations.items())
    return Checked(
        claim,
        verdict,
        f"rank correlation of {claim.key} with the distance of runs from the median of their variant {correlation:+.2f} "
        f"(p = {p:.2g}, {len(x)} runs); standard deviations: {shown or 'none, only one run each'}",
    )


def _of(run: Run, key: str) -> object:
    return run.part if key == "part" else run.options.get(key)


def _variants(values: Sequence[Value]) -> list[str]:
    return list(dict.fromkeys(value.run.variant for value in values))


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _interval(low: float, high: float) -> str:
    return " (one pair)" if math.isnan(low) else f" ({low:+.3f} to {high:+.3f})"
