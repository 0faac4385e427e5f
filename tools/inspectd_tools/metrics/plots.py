"""Plots of the errors and the certainty of a trained classifier."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspectd_tools.metrics.classification import CALIBRATION_BINS

_MOST_SETS = 5
"""More histograms than these hide each other."""


def plot_certainty(
    path: Path,
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    unknown: dict[str, NDArray[np.float64]],
    threshold: float | None = None,
) -> None:
    """A PNG: reliability diagram of (N, classes) scores, and histograms of certainty for right, wrong and each unknown set.

    More than five unknown sets are shown as one.
    """
    certainty, right = scores.max(1), scores.argmax(1) == labels
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    reliability, histogram = figure.subplots(1, 2)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    places = np.clip(np.digitize(certainty, edges) - 1, 0, CALIBRATION_BINS - 1)
    filled = np.unique(places)
    reliability.bar(
        (edges[filled] + edges[filled + 1]) / 2,
        [right[places == place].mean() for place in filled],
        width=0.09,
        label="test photos",
    )
    reliability.plot([0, 1], [0, 1], "k--", label="certainty = share that is right")
    reliability.set(xlabel="certainty", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1), title="reliability")
    reliability.legend()
    groups = {"right": certainty[right], "wrong": certainty[~right]}
    if len(unknown) > _MOST_SETS:
        unknown = {f"{len(unknown)} sets": np.concatenate(list(unknown.values()))}
    groups |= {f"unknown: {short(name)}": values.max(1) for name, values in unknown.items()}
    for name, values in groups.items():
        if len(values):
            weights = np.full(len(values), 1 / len(values))
            histogram.hist(
                values, np.linspace(0, 1, 41), weights=weights, histtype="step", label=f"{name} ({len(values)})"
            )
    if threshold is not None:
        histogram.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
    histogram.set(xlabel="certainty", ylabel="share of the group", xlim=(0, 1), title="certainty of the groups")
    histogram.legend()
    figure.savefig(path, dpi=100)


def short(name: str) -> str:
    """A short name for a class, or for an unknown set, whose name may be a long path."""
    return "/".join(Path(name).parts[-2:])


def confusion_figure(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """(classes, classes) counts, one row per truth, coloured by their share of the row, so that rare classes are visible."""
    shares = np.array(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
    side = 4 + 0.6 * len(classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    ax = figure.subplots()
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        ax.text(
            column, row, str(counts[row][column]), ha="center", va="center", color="white" if share > 0.6 else "black"
        )
    ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="said", ylabel="truth")
    return figure
