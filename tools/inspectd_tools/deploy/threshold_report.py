"""What a threshold guarantees, as text and as a table for the terminal and the card."""

from rich.table import Table

from inspectd.inference.manifest import Threshold
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.threshold import Groups, broken_guarantees, images_needed
from inspectd_tools.metrics.rates import CONFIDENCE

_DRAWS = 1000


def guarantee(threshold: Threshold) -> str:
    """The bound that was asked for, and for which labels it holds, as a clause."""
    share = f"at most {threshold.alpha:.2%} of the"
    if any(name.startswith(UNKNOWN) for name in threshold.false_accepts):
        return f"{share} faulty labels, and {share} unknown ones, pass"
    return f"{share} faulty labels pass; how many unknown ones pass was not measured"


def tried_guarantee(calibration: Groups, test: Groups, threshold: Threshold) -> str:
    """One sentence: how often the guarantee was broken with random calibration sets, drawn from all images."""
    everything = calibration.joined(test)
    n_faulty, n_unknown = len(calibration.all_faulty), len(calibration.all_unknown)
    broken = broken_guarantees(everything, n_faulty, n_unknown, threshold.alpha, _DRAWS)
    return (
        f"We tested the bound {_DRAWS} times, each time with another random calibration set of this size from the "
        f"{len(everything.all_faulty)} faulty and {len(everything.all_unknown)} unknown calibration and test images. In "
        f"{broken} tests more than {threshold.alpha:.2%} of all faulty or of all unknown images pass; up to "
        f"{_DRAWS * (1 - CONFIDENCE):.0f} such failures are normal."
    )


def bounds_table(threshold: Threshold) -> Table:
    """A row per class and kind of unknown."""
    table = Table("calibration images of", "passed", f"at most, at {threshold.confidence:.0%} confidence")
    for name, kind in threshold.false_accepts.items():
        table.add_row(name, f"{kind.passed} of {kind.n}", f"{kind.bound:.2%}")
    table.add_row("all, in this mix", "", f"{threshold.false_accept_bound:.2%}")
    table.caption = "for labels drawn like these images (exchangeability)"
    return table


def summary(threshold: Threshold) -> str:
    """Threshold, guarantee and false rejects, as text."""
    low, high = threshold.false_reject_interval
    return (
        f"threshold {threshold.value:.4f}. At {threshold.confidence:.0%} confidence, {guarantee(threshold)}. This holds if the "
        "labels on the line are like the calibration images (it needs "
        f"{images_needed(threshold.alpha)} of each, if none passes). {threshold.false_reject_rate:.2%} false rejects "
        f"(95 % interval {low:.2%} to {high:.2%})."
    )
