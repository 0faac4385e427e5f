"""What a threshold guarantees, as text and as a table for the terminal and the card."""

from rich.table import Table

from inspectd.inference.manifest import Threshold
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.threshold import parts_needed


def guarantee(threshold: Threshold) -> str:
    """The bound that was asked for, and for which labels it holds, as a clause."""
    share = f"at most {threshold.alpha:.2%} of the"
    if any(name.startswith(UNKNOWN) for name in threshold.false_accepts):
        return f"{share} faulty labels, and {share} unknown ones, pass"
    return f"{share} faulty labels pass; how many unknown ones pass was not measured"


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
        "labels on the line are like the calibration parts (it needs "
        f"{parts_needed(threshold.alpha)} of each, if none passes). {threshold.false_reject_rate:.2%} false rejects "
        f"(95 % interval {low:.2%} to {high:.2%})."
    )
