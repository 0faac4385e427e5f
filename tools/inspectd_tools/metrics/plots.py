"""Plots of the errors and the certainty of a trained classifier."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_MOST_SETS = 5
"""More histograms than these hide each other."""


def plot_certainty(
    path: Path,
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    unknown: dict[str, NDArray[np.float64]],
    threshold: float | None = None,
) -> None:
    """A PNG: risk-coverage curve (El-Yaniv and Wiener 2010) of (N, classes) scores, and histograms of certainty for right, wrong and each unknown set.

    More than five unknown sets are shown as one.
    """
    certainty, right = scores.max(1), scores.argmax(1) == labels
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    errors, histogram = figure.subplots(1, 2)
    kept = np.arange(1, len(certainty) + 1)
    wrong = np.cumsum(~right[np.argsort(-certainty, kind="stable")])
    errors.step(kept / len(certainty), wrong / kept, where="post")
    errors.set(
        xlabel="share of the test photos that is kept, the most certain first",
        ylabel="share of these that is wrong",
        xlim=(0, 1),
        ylim=(0, None),
        title="errors if uncertain photos are rejected",
    )
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
