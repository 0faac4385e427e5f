"""`out_of_fold.csv` of a run with cross-validation: the scores of each photo, by a network that did not learn from its part."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.csv_file import read_csv
from inspectd_tools.data.manifest import COLUMNS, DataManifest, read_manifest, row_of

_NAME = "out_of_fold.csv"


@dataclass(frozen=True, slots=True)
class OutOfFold:
    data: DataManifest
    """The photos that trained the network of the engine, then those of unknowns, from which nothing learned."""
    fold: NDArray[np.int64]
    """(N,): the fold of each photo, from 0."""
    scores: NDArray[np.float32]
    """(N, classes): by the network that learned from all other folds."""


def write_out_of_fold(found: OutOfFold, run: Path) -> None:
    """The table has the columns of a manifest, the fold, and a column for the score of each class. Raises OSError."""
    classes = found.data.classes
    with atomic_write(run / _NAME) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, "fold", *map(_score, classes)))
        for photo, fold, scores in zip(found.data.photos, found.fold, found.scores, strict=True):
            writer.writerow((*row_of(photo, found.data, run), fold, *(f"{score:.9g}" for score in scores)))


def read_out_of_fold(run: Path) -> OutOfFold | None:
    """None: the run is without cross-validation. Raises ConfigError naming the file and what is wrong with it."""
    path = run / _NAME
    if not path.exists():
        return None
    data = read_manifest(path)
    columns = ("fold", *map(_score, data.classes))
    try:
        values = np.array([[float(row[name]) for name in columns] for row in read_csv(path, columns)])
    except ValueError as error:
        raise ConfigError(f"{path}: fold and scores must be numbers: {error}; train again") from error
    return OutOfFold(data, values[:, 0].astype(np.int64), values[:, 1:].astype(np.float32))


def _score(name: str) -> str:
    return f"score {name}"
