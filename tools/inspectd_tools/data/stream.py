"""The test photos in the order of a line: good, faulty and unknown ones in random order."""

import csv
from pathlib import Path

import numpy as np

from inspectd_tools.data.manifest import UNKNOWN, DataManifest


def write_stream(manifest: DataManifest, folder: Path, seed: int) -> None:
    """Numbered links to the test photos, and a `truth.csv` for `inspectd demo`. Raises OSError."""
    photos = [photo for photo in manifest.photos if photo.split == "test"]
    folder.mkdir(parents=True)
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "class", "kind"))
        for number, place in enumerate(np.random.default_rng(seed).permutation(len(photos))):
            photo = photos[place]
            link = folder / f"{number:06}{photo.path.suffix}"
            link.symlink_to(photo.path.resolve())
            name = manifest.names[photo.label]
            is_unknown = name.startswith(UNKNOWN)
            writer.writerow((link.name, "unknown" if is_unknown else name, name.removeprefix(UNKNOWN) * is_unknown))
