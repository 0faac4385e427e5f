"""Performance of a trained classifier on photos that were used for no choice: not of weights, epoch or threshold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table

from inspectd.binomial import interval
from inspectd.learning.rates import pass_certainty

FALSE_REJECTS = 0.05


def auroc(lower: NDArray[np.float64], higher: NDArray[np.float64]) -> float | None:
    """Probability that a value of `higher` exceeds one of `lower`; ties count half (Mann and Whitney 1947). None if one is empty."""
    if not len(lower) or not len(higher):
        return None
    lower = np.sort(lower)
    below = np.searchsorted(lower, higher, "left")
    equal = np.searchsorted(lower, higher, "right") - below
    return float((below + equal / 2).mean() / len(lower))


def summarise(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    pass_class: str,
    unknown: dict[str, NDArray[np.float64]],
) -> dict[str, Any]:
    """Figures from (N, classes) scores and (N,) labels; `unknown` holds the (M, classes) scores of each unknown folder.

    Certainty is the largest score. It is not a probability (a DUQ score is a similarity), so only its order is measured. `auroc_errors`: how well certainty distinguishes right answers from wrong ones.
    `auroc_unknown`: how well it distinguishes the test photos from the unknown ones. `passed`: how many photos of each class and
    unknown folder pass, and how many there are, at the threshold that rejects 5 % of the good test photos that are classified
    as good.
    """
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (labels, scores.argmax(1)), 1)
    right = scores.argmax(1) == labels
    certainty = scores.max(1)
    recall = confusion.diagonal() / confusion.sum(1)
    return {
        "n": len(labels),
        "accuracy": float(right.mean()),
        "accuracy_95": interval(int(right.sum()), len(labels)),
        "balanced_accuracy": float(recall.mean()),
        "recall": dict(zip(classes, recall.tolist(), strict=True)),
        "confusion": confusion.tolist(),
        "auroc_errors": auroc(certainty[~right], certainty[right]),
        "auroc_unknown": {name: auroc(others.max(1), certainty) for name, others in unknown.items()},
        "passed": _passed(scores, labels, classes, pass_class, unknown),
    }


def _passed(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    pass_class: str,
    unknown: dict[str, NDArray[np.float64]],
) -> dict[str, tuple[int, int]]:
    place = classes.index(pass_class)
    groups = {name: scores[labels == label] for label, name in enumerate(classes)} | unknown
    certainty = {name: pass_certainty(values, place) for name, values in groups.items()}
    # 0: another class is at least as likely, so the photo passes at no threshold
    taken_for_good = certainty[pass_class][certainty[pass_class] > 0]
    threshold = np.quantile(taken_for_good, FALSE_REJECTS, method="lower") if len(taken_for_good) else np.inf
    return {
        name: (int(((values >= threshold) & (values > 0)).sum()), len(values)) for name, values in certainty.items()
    }


def compare(
    certainty: dict[str, NDArray[np.float64]],
    right: NDArray[np.bool_],
    unknown: dict[str, dict[str, NDArray[np.float64]]],
) -> dict[str, Any]:
    """Figures of several measures of certainty: (N,) values of each for the test photos, and its values for each unknown set."""
    return {
        measure: {
            "auroc_errors": auroc(values[~right], values[right]),
            "auroc_unknown": {name: auroc(others[measure], values) for name, others in unknown.items()},
        }
        for measure, values in certainty.items()
    }


def comparison_table(comparison: dict[str, Any]) -> Table:
    table = Table("AUROC of certainty, test photos against", *comparison)
    table.add_row("own wrong answers", *(_share(values["auroc_errors"]) for values in comparison.values()))
    for name in next(iter(comparison.values()))["auroc_unknown"]:
        table.add_row(name, *(_share(values["auroc_unknown"][name]) for values in comparison.values()))
    return table


def tables(results: dict[str, Any]) -> Group:
    """For the terminal: the confusion matrix with the recall per class, what would pass, then the other figures."""
    said = map(str, range(len(results["recall"])))
    confusion = Table("truth \\ said", *said, "recall", "95 %", title=f"{results['n']} test photos")
    for place, name in enumerate(results["recall"]):
        row = results["confusion"][place]
        low, high = interval(row[place], sum(row))
        confusion.add_row(
            f"{place} {name}", *map(str, row), f"{results['recall'][name]:.3f}", f"{low:.3f} to {high:.3f}"
        )
    figures = Table("figure", "value")
    low, high = results["accuracy_95"]
    figures.add_row("accuracy", f"{results['accuracy']:.3f} (95 %: {low:.3f} to {high:.3f})")
    figures.add_row("balanced accuracy", f"{results['balanced_accuracy']:.3f}")
    aurocs = Table("AUROC of certainty, test photos against", "value")
    aurocs.add_row("own wrong answers", _share(results["auroc_errors"]))
    for name, value in results["auroc_unknown"].items():
        aurocs.add_row(name, _share(value))
    passed = Table(f"at a threshold that rejects {FALSE_REJECTS:.0%} of the good", "passed", "of", "share", "95 %")
    for name, (count, n) in results["passed"].items():
        low, high = interval(count, n)
        passed.add_row(name, str(count), str(n), f"{count / n:.3f}", f"{low:.3f} to {high:.3f}")
    return Group(confusion, passed, figures, aurocs)


def over_runs(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each figure of several runs: the list, the mean and the standard deviation of a sample."""
    figures = {key: [run[key] for run in results] for key in ("validation_accuracy", "validation_loss", "training_s")}
    if all("test" in run for run in results):
        tests = [run["test"] for run in results]
        for key in ("accuracy", "balanced_accuracy", "auroc_errors"):
            figures[f"test_{key}"] = [test[key] for test in tests]
        for name in tests[0]["passed"]:
            figures[f"passed {name}"] = [test["passed"][name][0] / test["passed"][name][1] for test in tests]
        for name in tests[0]["auroc_unknown"]:
            figures[f"auroc_unknown {name}"] = [test["auroc_unknown"][name] for test in tests]
    return {
        name: {
            "runs": values,
            "mean": float(np.mean(values)) if None not in values else None,
            "standard_deviation": float(np.std(values, ddof=1)) if None not in values else None,
        }
        for name, values in figures.items()
    }


def summary_table(summary: dict[str, Any]) -> Table:
    table = Table("figure", "mean", "standard deviation", "runs")
    for name, values in summary.items():
        shown = [_share(values[key]) for key in ("mean", "standard_deviation")]
        table.add_row(name, *shown, ", ".join(_share(value) for value in values["runs"]))
    return table


def _share(value: float | None) -> str:
    return "no photo to compare" if value is None else f"{value:.4f}"
