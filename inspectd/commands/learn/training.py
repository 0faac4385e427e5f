"""The manifest for a training, where the photos show that the backbone must be trained."""

import csv
from pathlib import Path
from typing import Final

import numpy as np

from inspectd.files.atomic_write import atomic_write
from inspectd.learning.by_kind import UNKNOWN
from inspectd.learning.photos import Judged

_COLUMNS: Final = ("path", "class", "label", "split", "group", "sha256")
"""As tools/prepare_data.py writes them."""
_HELD_BACK: Final = 10
"""Of each class, one photo in so many validates, and one tests."""


def write_training_manifest(path: Path, judged: Judged, classes: tuple[str, ...]) -> None:
    """All reviewed photos, each class split by time. Unknown ones never train. Raises OSError."""
    rows = judged.rows
    known = [*classes, *(name for name in rows.names if name not in classes and not name.startswith(UNKNOWN))]
    names = [*known, *(name for name in rows.names if name.startswith(UNKNOWN))]
    present = [name for name in names if name in set(rows.truths.tolist())]
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for label, name in enumerate(present):
            places = np.flatnonzero(rows.truths == name).tolist()
            for at, place in enumerate(places):
                split = _split(at, len(places), trains=not name.startswith(UNKNOWN))
                group = f"part {judged.line_parts[place]}"
                writer.writerow((judged.paths[place].resolve(), name, label, split, group, rows.digests[place]))


def _split(at: int, count: int, *, trains: bool) -> str:
    """Of photo number `at` of `count` in the order of time: the last ones test, those before validate."""
    held_back = max(1, count // _HELD_BACK) if trains else count // 2
    if at >= count - held_back:
        return "test"
    return "train" if trains and at < count - 2 * held_back else "val"
