"""Pictures of a trained classifier's certainty."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspectd_tools.training.results import CALIBRATION_BINS


def plot_certainty(
    path: Path, scores: NDArray[np.float64], labels: NDArray[np.int64], unknown: dict[str, NDArray[np.float64]]
) -> None:
    """A PNG: reliability diagram of (N, classes) scores, and histograms of certainty for right, wrong and each unknown set."""
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
    reliability.plot([0, 1], [0, 1], "k--", label="as certain as right")
    reliability.set(xlabel="certainty", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1), title="reliability")
    reliability.legend()
    groups = {"right": certainty[right], "wrong": certainty[~right]}
    groups |= {f"unknown: {Path(name).name}": values.max(1) for name, values in unknown.items()}
    for name, values in groups.items():
        if len(values):
            weights = np.full(len(values), 1 / len(values))
            histogram.hist(
                values, np.linspace(0, 1, 41), weights=weights, histtype="step", label=f"{name} ({len(values)})"
            )
    histogram.set(xlabel="certainty", ylabel="share of the group", xlim=(0, 1), title="who is how certain")
    histogram.legend()
    figure.savefig(path, dpi=100)
