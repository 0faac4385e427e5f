"""Photos with known truth: the test photos of a manifest, a folder with `truth.csv`, or one folder of photos per class."""

import sys
from collections.abc import Sequence
from pathlib import Path

from inspectd.camera.image_files import list_folders, list_photos, remark
from inspectd.commands.demo.ground_truth import UNKNOWN, read_truth
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv, read_csv

Labelled = tuple[Path, str]
"""A photo, and its class or `unknown_KIND`."""


def labelled_photos(data: Path, classes: Sequence[str], pass_class: str) -> list[Labelled]:
    """Every photo with its label. `classes`: those that a `truth.csv` may name. Raises ConfigError; some photos must be good."""
    if is_csv(data):
        photos, needed = _of_manifest(data), f"needs test photos of the class {pass_class}"
    elif (data / "truth.csv").is_file():
        photos, needed = _of_truth(data, classes), f"truth.csv must name photos of the class {pass_class}"
    else:
        photos = _of_folders(data)
        needed = f"give a manifest, a folder with truth.csv, or a folder with {pass_class}/ and one folder per fault"
    labels = sorted({label for _, label in photos})
    if pass_class not in labels:
        found = (
            f"has photos of {', '.join(labels)}, but not of {pass_class}"
            if labels
            else "has no class folders with photos"
        )
        raise ConfigError(f"--data {data}: {found}; {needed}")
    return photos


def _of_manifest(path: Path) -> list[Labelled]:
    rows = read_csv(path, ("path", "class", "split"))
    return [(path.parent / row["path"], row["class"]) for row in rows if row["split"] == "test"]


def _of_truth(folder: Path, classes: Sequence[str]) -> list[Labelled]:
    return [
        (folder / truth.file, f"{UNKNOWN}_{truth.kind}" if truth.label_class == UNKNOWN else truth.label_class)
        for truth in read_truth(folder, classes)
    ]


def _of_folders(root: Path) -> list[Labelled]:
    if not root.is_dir():
        raise ConfigError(f"--data {root}: no such folder")
    folders = list_folders(root)
    listings = {folder.name: list_photos(folder) for folder in folders.found}
    passed_over = [path for listing in (folders, *listings.values()) for path in listing.passed_over]
    if passed_over:
        print(f"inspectd: {remark(passed_over)}", file=sys.stderr)
    return [(path, label) for label, listing in listings.items() for path in listing.found]
