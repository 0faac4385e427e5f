"""Which good photos fit the guard, choose its limits and test it."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspectd.camera.image_files import decode_photo, read_bytes
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image
from inspectd.terminal import track
from inspectd_tools.data.manifest import SPLITS, Split, read_manifest
from inspectd_tools.data.scan import photos_of
from inspectd_tools.data.split import split

LEAST: dict[Split, int] = {"train": 10, "val": 5, "test": 5}
"""Good photos that a guard needs."""
MOST_FITTED = 300
"""More photos to fit improve the guard little, and all of them are in memory at once."""
_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Good:
    """A photo of a good label, and the SHA-256 of its file."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class GoodPhotos:
    """`train` fits the guard, `val` chooses its limits, `test` is not used for any choice."""

    train: tuple[Good, ...]
    val: tuple[Good, ...]
    test: tuple[Good, ...]


def good_photos(source: Path, pass_class: str, seed: int) -> GoodPhotos:
    """Good photos of a manifest, or of the folder `source/pass_class`, split by `seed`. Raises ConfigError naming what is missing."""
    if is_csv(source):
        photos = _of_manifest(source, pass_class)
        advice = "or give the folder of the photos instead of the manifest: then fewer fit the guard and more choose its limits"
    else:
        photos = _of_folder(source, pass_class, seed)
        advice = f"at least {sum(LEAST.values())} different photos are needed"
    for side, least in LEAST.items():
        if len(photos[side]) < least:
            raise ConfigError(
                f"{source}: {len(photos[side])} photos of {pass_class} in {side} are too few for a guard, at least {least} are "
                f"needed; add photos, {advice}"
            )
    fitting = photos["train"]
    if len(fitting) > MOST_FITTED:
        chosen = np.random.default_rng(seed).permutation(len(fitting))[:MOST_FITTED]
        fitting = [fitting[place] for place in sorted(chosen.tolist())]
    return GoodPhotos(tuple(fitting), tuple(photos["val"]), tuple(photos["test"]))


def grey_images(photos: Sequence[Good], what: str) -> Iterator[Image]:
    """(h, w) uint8 of each photo, a few decoded ahead. Raises ConfigError naming a photo that is broken or has changed."""
    with ThreadPoolExecutor() as pool:
        for start in track(range(0, len(photos), _AHEAD), what):
            yield from pool.map(_grey, photos[start : start + _AHEAD])


def fingerprint(photos: Sequence[Good]) -> str:
    """SHA-256 over the hashes of the files, in order."""
    return hashlib.sha256("".join(photo.sha256 for photo in photos).encode()).hexdigest()


def _of_manifest(source: Path, pass_class: str) -> dict[Split, list[Good]]:
    manifest = read_manifest(source)
    if pass_class not in manifest.classes:
        raise ConfigError(f"{source}: has no class {pass_class}, which the engine lets pass; it has {manifest.classes}")
    label = manifest.classes.index(pass_class)
    return {
        side: [Good(photo.path, photo.sha256) for photo in manifest.of(side) if photo.label == label] for side in SPLITS
    }


def _of_folder(source: Path, pass_class: str, seed: int) -> dict[Split, list[Good]]:
    if not source.is_dir():
        raise ConfigError(f"{source}: is not a folder or a manifest (.csv)")
    photos = [Good(path, hashlib.sha256(read_bytes(path)).hexdigest()) for path in photos_of(source / pass_class)]
    different = list({photo.sha256: photo for photo in photos}.values())
    if len(different) < sum(LEAST.values()):
        return {"train": different, "val": [], "test": []}
    fitting = min(0.5, MOST_FITTED / len(different))
    shares: dict[Split, float] = {"train": fitting, "val": (1 - fitting) / 2, "test": (1 - fitting) / 2}
    sides = split([0] * len(different), range(len(different)), (pass_class,), seed, shares)
    return {side: [photo for photo, here in zip(different, sides, strict=True) if here == side] for side in SPLITS}


def _grey(photo: Good) -> Image:
    data = read_bytes(photo.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise ConfigError(f"{photo.path}: has changed since the manifest was written; run prepare_data.py again")
    return to_grey(decode_photo(data, photo.path))
