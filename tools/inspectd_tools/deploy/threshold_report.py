"""What a threshold guarantees, as text and as a table for the terminal and the card."""

import math
from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table

from inspectd.errors import EngineError
from inspectd.inference.manifest import Threshold
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.calibration import Calibration
from inspectd_tools.deploy.card.markdown import table
from inspectd_tools.deploy.further_photos import bounds

_MORE = 50


def guarantee(threshold: Threshold) -> str:
    """The bound that was asked for, and for which labels it holds, as a clause."""
    share = f"at most {threshold.alpha:.2%} of the"
    if any(name.startswith(UNKNOWN) for name in threshold.false_accepts):
        return f"{share} faulty labels, and {share} unknown ones, pass"
    return f"{share} faulty labels pass; how many unknown ones pass was not measured"


def other_bounds(thresholds: Sequence[Threshold]) -> list[str]:
    """For the card: what each bound that was asked for at once would cost. Empty for one."""
    if len(thresholds) == 1:
        return []
    return [
        "These bounds were asked for at once, and all hold at the confidence above. So choose by their cost: to take another, "
        "build again with the same values of `--alpha` and that one first.",
        *table(
            ("bound", "threshold", "good parts rejected"),
            [(f"{one.alpha:.2%}", f"{one.value:.4f}", f"{one.false_reject_rate:.2%}") for one in thresholds],
        ),
    ]


def bounds_table(threshold: Threshold) -> Table:
    """A row per class and kind of unknown."""
    table = Table("calibration parts of", "passed", f"at most, at {threshold.confidence:.0%} confidence")
    for name, kind in threshold.false_accepts.items():
        table.add_row(name, f"{kind.passed} of {kind.n}", f"{kind.bound:.2%}")
    table.add_row("all, in this mix", "", f"{threshold.false_accept_bound:.2%}")
    table.caption = "for labels drawn like these parts (exchangeability)"
    return table


def summary(threshold: Threshold) -> str:
    """Threshold, guarantee and false rejects, as text."""
    low, high = threshold.false_reject_interval
    return (
        f"threshold {threshold.value:.4f}. At {threshold.confidence:.0%} confidence, {guarantee(threshold)}. This holds if the "
        f"labels on the line are like the calibration parts. {threshold.false_reject_rate:.2%} false rejects "
        f"(95 % interval {low:.2%} to {high:.2%})."
    )


def cap_warnings(calibration: Calibration, threshold: Threshold) -> list[str]:
    """What the cap on rejected good parts costs, and what further photos would buy. Empty if the bound that was asked for holds."""
    if threshold.alpha <= calibration.alpha:
        return []
    try:
        strict = replace(calibration, rejected=None).threshold(calibration.judged, "fp32")
        other = (
            f"A bound of {strict.alpha:.1%} needs the threshold {strict.value:.4f}, which rejects {strict.false_reject_rate:.1%} of "
            "the good parts (--good-rejected 1 takes it)."
        )
    except EngineError:
        other = "No threshold has a lower bound, because some faulty or unknown parts look perfectly good."
    name, most = max(threshold.false_accepts.items(), key=lambda item: item[1].passed / max(1, item[1].n))
    kinds = calibration.judged.by_kind(calibration.product)
    more = max(bound for bound in bounds(kinds, threshold.value, _MORE) if not math.isnan(bound))
    return [
        f"WARNING: up to {threshold.alpha:.1%} of the faulty or of the unknown labels pass, with {threshold.confidence:.0%} "
        f"confidence. {name} passes most often ({most.passed} of {most.n}). A higher threshold would reject more than "
        f"{calibration.rejected:.0%} of the good parts that can pass. {other} Photos of {_MORE} more parts of each fault and of unknowns would bring "
        f"the bound to {more:.1%}, if the same shares pass."
    ]
