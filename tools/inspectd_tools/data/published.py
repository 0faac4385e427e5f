"""Images to train with, to validate with and to test with: photos of a manifest or folder, or a published data set."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.data.idx import read_idx
from inspectd_tools.data.images import Images, as_seen, load_images, load_photos, split
from inspectd_tools.data.manifest import SPLITS, DataManifest
from inspectd_tools.data.scan import class_photos, photos_of
from inspectd_tools.settings import TrainingSettings

_FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION_UNKNOWN = ("mnist", "notmnist")
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@dataclass(frozen=True, slots=True)
class Sets:
    train: Images
    validation: Images
    test: Images | None
    """None for a folder, which is only split in two."""


def load_sets(settings: TrainingSettings, data: DataManifest | Path | None) -> Sets:
    """A manifest says which photo is in which split; a folder is split here. Raises ConfigError."""
    if settings.dataset == "FashionMNIST":
        return _fashion_mnist(data if isinstance(data, Path) else _FASHION_FOLDER, settings)
    if data is None:
        raise ConfigError("--data: must be given: a manifest, or a folder of class folders")
    if isinstance(data, Path):
        images = load_images(class_photos(data, settings.classes), settings.input)
        return Sets(*split(images, settings.validation_share, settings.seed), None)
    if settings.classes != data.classes:
        raise ConfigError(f"classes: {settings.classes} are not those of the manifest, {data.classes}")
    return Sets(*(load_photos(data.of(side), settings.input, side) for side in SPLITS))


def load_unknown(path: Path, spec: InputSpec) -> Images:
    """Unknown images: a folder of photos or an idx file. Their label is -1. Raises ConfigError."""
    if path.is_dir():
        return load_images([(photo, -1) for photo in photos_of(path)], spec, str(path))
    images = read_idx(path)
    return _from_arrays(path, images, np.full(len(images), -1), spec)


def usual_unknown(settings: TrainingSettings) -> list[Path]:
    """The unknown sets that the DUQ paper uses with FashionMNIST, as far as they are on this machine."""
    if settings.dataset != "FashionMNIST":
        return []
    folders = [folder for name in _FASHION_UNKNOWN if (folder := published(name)) is not None]
    return [path for folder in folders if (path := folder / _TEST_IMAGES).is_file()]


def published(name: str) -> Path | None:
    """The folder of a published data set in the folder that INSPECTD_DATASETS names; None if it names none."""
    datasets = os.environ.get("INSPECTD_DATASETS")
    return None if datasets is None else Path(datasets, name)


def _fashion_mnist(folder: Path, settings: TrainingSettings) -> Sets:
    """The last of the 60 000 training images become the validation set; their order is random already."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; install FashionMNIST, the Debian package dataset-fashion-mnist")

    def read(name: str) -> Images:
        images, labels = (folder / f"{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
        return _from_arrays(images, read_idx(images), read_idx(labels), settings.input)

    everything = read("train")
    first = round(len(everything.labels) * (1 - settings.validation_share))
    places = np.arange(len(everything.labels))
    return Sets(everything.take(places[:first]), everything.take(places[first:]), read("t10k"))


def _from_arrays(path: Path, images: NDArray[np.uint8], labels: NDArray[np.integer], spec: InputSpec) -> Images:
    return Images(
        tuple(path / str(number) for number in range(len(images))),
        np.concatenate([as_seen(image, spec, path) for image in images]),
        labels.astype(np.int64),
        tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
    )
