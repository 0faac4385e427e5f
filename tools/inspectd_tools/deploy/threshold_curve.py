"""The rates at other thresholds: false accepts and false rejects over the whole range of certainty."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from numpy.typing import NDArray

from inspectd.binomial import interval, upper_bound
from inspectd.inference.manifest import Threshold
from inspectd.learning.by_kind import ByKind
from inspectd.learning.rates import CONFIDENCE, false_rejects

_COLUMNS = (
    "threshold",
    "faulty_passed",
    "faulty_passed_at_most",
    "unknown_passed",
    "unknown_passed_at_most",
    "good_rejected",
    "good_rejected_at_least",
    "good_rejected_at_most",
)
_GRID = np.linspace(0, 1, 101, dtype=np.float32)
_LOWEST_SHOWN = 1e-4

_upper_bound = cache(upper_bound)
_interval = cache(interval)


def write_tradeoff(folder: Path, kinds: ByKind, threshold: Threshold) -> None:
    """Write `threshold.csv` and `threshold.png` from the calibration images.

    They hold the shares of faulty and unknown parts that pass, with one-sided upper bounds, and of good ones that are rejected,
    with two-sided intervals (Clopper-Pearson, 95 %). Each bound holds for one threshold that was fixed before. So do not choose a
    threshold from the curve: build the engine again with another --alpha.
    """
    rows = tradeoff(kinds, threshold.value)
    with (folder / "threshold.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows([f"{value:.6g}" for value in row] for row in rows)
    _plot(folder / "threshold.png", rows, kinds, threshold)


def tradeoff(kinds: ByKind, chosen: float) -> NDArray[np.float64]:
    """(thresholds, 8) in the order of the columns of the file: every hundredth of certainty, and the chosen threshold."""
    return np.array([_row(kinds, value) for value in np.unique([*_GRID.tolist(), chosen])])


def _row(kinds: ByKind, threshold: float) -> list[float]:
    row = [threshold]
    for values in (kinds.all_faulty, kinds.all_unknown):
        passed = int((values >= threshold).sum())
        row += [passed / len(values) if len(values) else float("nan"), _upper_bound(passed, len(values), CONFIDENCE)]
    rejected = false_rejects(kinds.good, threshold)
    return [*row, rejected.share, *_interval(rejected.errors, rejected.n, CONFIDENCE)]


def _plot(path: Path, rows: NDArray[np.float64], kinds: ByKind, threshold: Threshold) -> None:
    figure = Figure(figsize=(9, 5), layout="constrained")
    ax = figure.subplots()
    column = dict(zip(_COLUMNS, rows.T, strict=True))
    x = column["threshold"]
    for name, n, colour in (
        ("faulty", len(kinds.all_faulty), "tab:red"),
        ("unknown", len(kinds.all_unknown), "tab:purple"),
    ):
        if n:
            ax.plot(x, column[f"{name}_passed"], colour, label=f"{name} passed, of {n}")
            ax.plot(x, column[f"{name}_passed_at_most"], colour, ls=":", label="at most, at 95 % confidence")
    ax.plot(x, column["good_rejected"], "tab:green", label=f"good rejected, of {len(kinds.good)}")
    ax.fill_between(
        x, column["good_rejected_at_least"], column["good_rejected_at_most"], color="tab:green", alpha=0.2, label="95 %"
    )
    ax.axvline(threshold.value, color="k", lw=1, label=f"chosen: {threshold.value:.3f}")
    ax.axhline(threshold.alpha, color="k", lw=1, ls="--", label=f"bound: at most {threshold.alpha:.2%} pass")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(
        xlim=(0, 1),
        ylim=(_LOWEST_SHOWN, 1),
        xlabel="threshold",
        ylabel="share of the calibration parts",
        title="for labels that are drawn like the calibration parts (exchangeability)",
    )
    ax.legend(fontsize="small", loc="lower left")
    figure.savefig(path, dpi=100)
