"""The data manifest: a CSV with a row per photo. Photos stay where they are.

Columns: `path` (relative to the manifest), `class`, `label` (the index of the class in the scores), `split`, `group` (photos
of one group show the same thing and are all in one split), `sha256`. A name that begins with `unknown_` is a kind of unknown
and not a class: the model must be uncertain of its photos. Kinds of unknowns come after the classes and are never in `train`.
"""

import csv
import os
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, get_args

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.csv_file import CsvRow, read_csv
from inspectd.files.text_file import one_line, shown
from inspectd.learning.by_kind import UNKNOWN as UNKNOWN

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
COLUMNS = ("path", "class", "label", "split", "group", "sha256")


@dataclass(frozen=True, slots=True)
class Photo:
    path: Path
    label: int
    split: Split
    group: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DataManifest:
    names: tuple[str, ...]
    """The name of each label: the classes in the order of the scores, then the kinds of unknowns."""
    photos: tuple[Photo, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if not name.startswith(UNKNOWN))

    def of(self, split: Split) -> tuple[Photo, ...]:
        """Photos of the classes."""
        return tuple(photo for photo in self.photos if photo.split == split and photo.label < len(self.classes))

    def unknown(self, split: Split) -> dict[str, tuple[Photo, ...]]:
        """Kind -> its photos."""
        kinds = {name: label for label, name in enumerate(self.names) if name.startswith(UNKNOWN)}
        return {
            name: tuple(photo for photo in self.photos if photo.split == split and photo.label == label)
            for name, label in kinds.items()
        }

    def count(self, label: int, split: Split) -> int:
        return sum(photo.label == label and photo.split == split for photo in self.photos)


def write_manifest(manifest: DataManifest, path: Path) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row_of(photo, manifest, path.parent) for photo in manifest.photos)


def row_of(photo: Photo, manifest: DataManifest, folder: Path) -> tuple[object, ...]:
    """The cells of COLUMNS in a table that is in `folder`."""
    name, place = manifest.names[photo.label], relative(photo.path, folder)
    return place, name, photo.label, photo.split, photo.group, photo.sha256


def relative(path: Path, folder: Path) -> str:
    """The path of a photo as a table in `folder` holds it, so that both can be moved together."""
    return os.path.relpath(path.resolve(), folder.resolve())


def read_manifest(path: Path, *needed: Split) -> DataManifest:
    """Read and check a manifest. Every class must have photos in each split that is `needed`.

    Raises ConfigError naming the file, line, column, value and what is allowed.
    """
    by_label: dict[int, str] = {}
    groups: dict[str, Split] = {}
    files: dict[str, Photo] = {}
    photos = []
    for row in read_csv(path, COLUMNS):
        photo = _photo(row, path)
        if by_label.setdefault(photo.label, row["class"]) != row["class"]:
            raise _refusal(path, row, f"label {photo.label} is {by_label[photo.label]}, not {row['class']}")
        if groups.setdefault(photo.group, photo.split) != photo.split:
            raise _refusal(path, row, f"group {photo.group} is in two splits, {groups[photo.group]} and {photo.split}")
        same = files.setdefault(photo.sha256, photo)
        if same.label != photo.label:
            raise _refusal(path, row, f"{photo.path} is the same file as {same.path} of another class; one is wrong")
        if same.split != photo.split:
            raise _refusal(
                path, row, f"{photo.path} is in {photo.split}, but the same file is in {same.split} as {same.path}"
            )
        if photo.split == "train" and row["class"].startswith(UNKNOWN):
            raise _refusal(path, row, f"{row['class']} is in train; unknowns are never trained with")
        photos.append(photo)
    manifest = DataManifest(tuple(by_label[label] for label in sorted(by_label)), tuple(photos))
    names, classes = manifest.names, manifest.classes
    if (
        sorted(by_label) != list(range(len(names)))
        or len(set(names)) < len(names)
        or len(classes) < 2
        or classes != names[: len(classes)]
    ):
        raise ConfigError(
            f"{path}: labels must count two or more different classes from 0, then the unknowns, "
            f"got {shown(dict(sorted(by_label.items())))}"
        )
    for split, (label, name) in product(needed, enumerate(classes)):
        if not manifest.count(label, split):
            raise ConfigError(f"{path}: class {one_line(name)}: has no photo in {split}; at least one is needed")
    return manifest


def _photo(row: CsvRow, path: Path) -> Photo:
    for column in COLUMNS:
        if not row[column]:
            raise _refusal(path, row, f"{column} is empty")
    if row["split"] not in SPLITS:
        raise _refusal(path, row, f"split: {row['split']!r} must be one of {', '.join(SPLITS)}")
    if not re.fullmatch("[0-9]{1,6}", row["label"]):
        raise _refusal(path, row, f"label: {row['label']!r} must be a whole number")
    split = next(name for name in SPLITS if name == row["split"])
    return Photo(path.parent / row["path"], int(row["label"]), split, row["group"], row["sha256"])


def _refusal(path: Path, row: CsvRow, problem: str) -> ConfigError:
    return ConfigError(f"{path}: line {row.line}: {one_line(problem)}")
