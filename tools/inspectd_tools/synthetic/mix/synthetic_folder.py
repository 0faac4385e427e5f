"""A folder of synthetic images, and the photos that each of them was made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd.files.csv_file import CsvRow, read_csv
from inspectd_tools.data.scan import photos_of


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Images by class, and the photos that each is made from (none for rendered images)."""

    images: dict[str, list[Path]]
    sources: dict[Path, tuple[Path, ...]]
    digests: dict[Path, str]
    """SHA-256 of each source."""


def read_synthetic(folder: Path, classes: Sequence[str]) -> Synthetic:
    """Read a folder of `render`, `compose` or gan.py.

    A folder with `truth.csv` holds rendered images. Otherwise `sources.csv` lists the photos that were used, and
    `provenance.csv`, if there is one, which of them each image is made from. Raises ConfigError if there is no folder, or if
    these files do not cover its images.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    images = {name: photos_of(folder / name) for name in classes if (folder / name).is_dir()}
    if (folder / "truth.csv").is_file():  # rendered
        return Synthetic(images, {}, {})
    used = _rows(folder / "sources.csv", ("photo", "sha256"))
    digests = {(folder / row["photo"]).resolve(): row["sha256"] for row in used}
    every = [path.resolve() for paths in images.values() for path in paths]
    if not (folder / "provenance.csv").exists():  # of a GAN: every photo may influence every image
        return Synthetic(images, dict.fromkeys(every, tuple(digests)), digests)
    made = _rows(folder / "provenance.csv", ("file", "photo", "ground", "background"))
    sources = {
        (folder / row["file"]).resolve(): tuple(
            (folder / row[key]).resolve() for key in ("photo", "ground", "background") if row[key]
        )
        for row in made
    }
    for path in every:
        if path not in sources:
            raise ConfigError(f"{path}: provenance.csv does not list this image; compose it again")
    return Synthetic(images, sources, digests)


def _rows(path: Path, columns: Sequence[str]) -> list[CsvRow]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; `compose` and gan.py write it, `render` writes truth.csv instead")
    return read_csv(path, columns)
