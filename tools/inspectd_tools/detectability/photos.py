"""The photos of good parts that small faults are put into."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from inspectd.camera.image_files import read_bytes
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.data.scan import photos_of


def good_photos(source: Path, pass_class: str, most: int) -> list[Path]:
    """At most so many, evenly spread: one test photo per group of a manifest, or the different photos of a folder.

    Raises ConfigError naming what is missing.
    """
    return spread(_of_manifest(source, pass_class) if is_csv(source) else _of_folder(source, pass_class), most)


def spread(photos: Sequence[Path], most: int) -> list[Path]:
    """At most so many of them, evenly spread."""
    count = min(len(photos), most)
    return [photos[number * len(photos) // count] for number in range(count)]


def _of_manifest(source: Path, pass_class: str) -> list[Path]:
    manifest = read_manifest(source)
    good = [photo for photo in manifest.of("test") if manifest.names[photo.label] == pass_class]
    if not good:
        raise ConfigError(
            f"{source}: holds no photo of {pass_class}, the pass class, in split test; its classes: "
            f"{', '.join(manifest.classes)}"
        )
    return _first_of_each((photo.group, photo.path) for photo in good)


def _of_folder(source: Path, pass_class: str) -> list[Path]:
    folder = source / pass_class
    photos = photos_of(folder if folder.is_dir() else source)
    return _first_of_each((hashlib.sha256(read_bytes(path)).hexdigest(), path) for path in photos)


def _first_of_each(photos: Iterable[tuple[str, Path]]) -> list[Path]:
    first: dict[str, Path] = {}
    for key, path in photos:
        first.setdefault(key, path)
    return list(first.values())
