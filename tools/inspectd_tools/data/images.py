"""Photos, decoded once, with the same preprocessing as on the line."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import decode_photo, read_bytes
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.preprocess import InputSpec, preprocess
from inspectd.part import Image
from inspectd.terminal import track
from inspectd_tools.data.manifest import UNKNOWN, Photo, Split, read_manifest
from inspectd_tools.data.scan import class_photos, refuse_two_labels


@dataclass(frozen=True, slots=True)
class Images:
    """`pixels` (N, C, H, W) uint8 as the network gets them, `labels` (N,) int64: indices of the classes."""

    files: tuple[Path, ...]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digests: tuple[str, ...]
    """SHA-256 of each file."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of the files, in order."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()

    def take(self, places: NDArray[np.int64]) -> "Images":
        return Images(
            tuple(self.files[place] for place in places),
            self.pixels[places],
            self.labels[places],
            tuple(self.digests[place] for place in places),
        )

    def joined(self, other: "Images") -> "Images":
        """These images, then the others."""
        return Images(
            self.files + other.files,
            np.concatenate([self.pixels, other.pixels]),
            np.concatenate([self.labels, other.labels]),
            self.digests + other.digests,
        )


def load_images(files: Sequence[tuple[Path, int]], spec: InputSpec, what: str = "decode") -> Images:
    """The photos of all (path, label), in this order. Raises ConfigError naming a broken file."""
    with ThreadPoolExecutor() as pool:
        decoded = list(
            track(pool.map(lambda entry: _decode(entry[0], spec), files), description=what, total=len(files))
        )
    return Images(
        tuple(path for path, _ in files),
        np.concatenate(
            [np.empty((0, spec.channels, spec.height, spec.width), np.uint8), *(pixels for pixels, _ in decoded)]
        ),
        np.array([label for _, label in files], np.int64),
        tuple(digest for _, digest in decoded),
    )


def load_photos(photos: Sequence[Photo], spec: InputSpec, what: str) -> Images:
    """Photos of a manifest. Raises ConfigError naming a file that is broken, or that changed after the manifest was written."""
    images = load_images([(photo.path, photo.label) for photo in photos], spec, what)
    for photo, digest in zip(photos, images.digests, strict=True):
        if photo.sha256 != digest:
            raise ConfigError(f"{photo.path}: has changed since the manifest was written; run prepare_data.py again")
    return images


def load_judged(
    source: Path, side: Split, classes: tuple[str, ...], spec: InputSpec, what: str
) -> tuple[Images, tuple[str, ...], tuple[str, ...]]:
    """Images to calibrate or test an engine with, the group of each, and the names of their labels: classes, then unknowns.

    `source`: a manifest, from which the photos of split `side` are taken, or a folder with one folder per class; folders
    whose names begin with `unknown_` hold unknowns. In a folder, each file is a group of its own. Raises ConfigError.
    """
    if is_csv(source):
        manifest = read_manifest(source)
        if manifest.classes != classes:
            raise ConfigError(f"{source}: its classes are {manifest.classes}; those of the run are {classes}")
        unknown = [photo for photos in manifest.unknown(side).values() for photo in photos]
        photos = [*manifest.of(side), *unknown]
        return load_photos(photos, spec, what), tuple(photo.group for photo in photos), manifest.names
    if not source.is_dir():
        raise ConfigError(f"{source}: is not a folder or a manifest (.csv)")
    unknowns = sorted(path.name for path in source.iterdir() if path.is_dir() and path.name.startswith(UNKNOWN))
    names = (*classes, *unknowns)
    images = load_images(class_photos(source, names), spec, what)
    refuse_two_labels(zip(images.files, images.labels.tolist(), images.digests, strict=True))
    return images, images.digests, names


def split(images: Images, validation_share: float, seed: int) -> tuple[Images, Images]:
    """The training and the validation part: the same share of every class, at random. Equal files are in one part.

    Raises ConfigError if a part stays empty, or if equal files are in two classes.
    """
    refuse_two_labels(zip(images.files, images.labels.tolist(), images.digests, strict=True))
    rng = np.random.default_rng(seed)
    validation: set[str] = set()
    for label in np.unique(images.labels):
        places = np.flatnonzero(images.labels == label)
        different = list(dict.fromkeys(images.digests[place] for place in places))
        taken = max(1, round(validation_share * len(different)))
        if taken == len(different):
            raise ConfigError(
                f"{images.files[places[0]].parent}: holds too few different photos ({taken}) to train with and to validate with"
            )
        validation.update(different[place] for place in rng.permutation(len(different))[:taken])
    validates = np.array([digest in validation for digest in images.digests])
    return images.take(np.flatnonzero(~validates)), images.take(np.flatnonzero(validates))


def _decode(path: Path, spec: InputSpec) -> tuple[NDArray[np.uint8], str]:
    data = read_bytes(path)
    return as_seen(decode_photo(data, path), spec, path), hashlib.sha256(data).hexdigest()


def as_seen(image: Image, spec: InputSpec, path: Path) -> NDArray[np.uint8]:
    """(1, C, H, W) uint8 as the network gets it on the line. Raises ConfigError naming `path`."""
    try:
        return preprocess(image, spec)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
