"""The results of an experiment as one table with one value per row, from the files of its runs."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write
from inspectd_tools.experiments.plan import Run


@dataclass(frozen=True, slots=True)
class Figure:
    phase: str
    """train, validation, test, or the kind of a measure."""
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    experiment: str
    variant: str
    seed: int
    epoch: int | None
    """None: for the final weights of the run."""
    phase: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one run. `outcome.json` is written last, so a run with this file is done."""

    seconds: float
    machine: dict[str, Any]
    refused: dict[str, str]
    """Measure -> why it does not apply."""
    warnings: list[str]
    figures: list[Figure]

    def write(self, path: Path) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["figures"] = [astuple(figure) for figure in self.figures]
        with atomic_write(path, flush=True) as unfinished:
            unfinished.write_text(json.dumps(values, indent=1), encoding="utf-8")


def read_outcome(path: Path) -> Outcome:
    """Raises ConfigError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(**(values | {"figures": [Figure(*figure) for figure in values["figures"]]}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: is not the outcome of a run: {error}; delete its folder to run it again") from error


def rows_of(experiment: str, run: Run, trained: Path, outcome: Outcome) -> Iterator[Row]:
    """Rows of every epoch, then of the final weights."""
    path = trained / "epochs.json"  # does not exist if no epoch was trained
    for epoch in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        for phase, metric, key in (
            ("train", "loss", "train_loss"),
            ("validation", "loss", "validation_loss"),
            ("validation", "accuracy", "validation_accuracy"),
            ("train", "images/s", "images_per_s"),
        ):
            yield Row(experiment, run.variant, run.seed, epoch["number"], phase, metric, epoch[key])
    for figure in outcome.figures:
        yield Row(experiment, run.variant, run.seed, None, figure.phase, figure.metric, figure.value)


def figures_of(results: dict[str, Any]) -> Iterator[Figure]:
    """The figures of a `results.json` of tools/train.py."""
    yield Figure("train", "seconds", results["training_s"])
    yield Figure("validation", "accuracy", results["validation_accuracy"])
    yield Figure("validation", "loss", results["validation_loss"])
    test = results.get("test", {})
    for metric, key in (
        ("accuracy", "accuracy"),
        ("balanced accuracy", "balanced_accuracy"),
        ("AUROC, right against wrong", "auroc_errors"),
    ):
        if test.get(key) is not None:
            yield Figure("test", metric, test[key])
    known = [value for value in test.get("auroc_unknown", {}).values() if value is not None]
    if known:
        yield Figure("test", "OOD AUROC, mean of kinds", sum(known) / len(known))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)
