"""The photos that a GAN learns from, and held-out photos that show whether it has memorised them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd_tools.data.images import Images, load_images, load_photos, split
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.data.scan import class_photos, known_folders
from inspectd_tools.synthetic.quality.photos import square

_HELD_OUT_SHARE = 0.2
_LEAST = 8


@dataclass(frozen=True, slots=True)
class Photos:
    classes: tuple[str, ...]
    train: Images
    """Square; grey if every photo is grey, otherwise RGB."""
    held_out: Images
    width_px: int
    """Width of an image in the shape of the photos, if it is as high as those of `train`."""


def load(source: Path, size: int, seed: int) -> Photos:
    """Load a manifest (`train` to learn from, `val` held out) or a folder (a fifth of each class is held out).

    Raises ConfigError.
    """
    spec = square(size)
    if is_csv(source):
        manifest = read_manifest(source, "val")
        classes = manifest.classes
        train, held_out = (load_photos(manifest.of(side), spec, side) for side in ("train", "val"))
    else:
        classes = known_folders(source)
        train, held_out = split(load_images(class_photos(source, classes), spec), _HELD_OUT_SHARE, seed)
    for label, name in enumerate(classes):
        if (count := int((train.labels == label).sum())) < _LEAST:
            raise ConfigError(f"{source}: {name}: a GAN needs at least {_LEAST} photos per class, here are {count}")
    if all((images.pixels == images.pixels[:, :1]).all() for images in (train, held_out)):
        train, held_out = _grey(train), _grey(held_out)
    return Photos(classes, train, held_out, round(size * _aspect(train.files)))


def _grey(images: Images) -> Images:
    return Images(images.files, images.pixels[:, :1], images.labels, images.digests)


def _aspect(files: Sequence[Path]) -> float:
    """Median width / height."""
    ratios = []
    for path in files:
        height, width = read_photo(path).shape[:2]
        ratios.append(width / height)
    return float(np.median(ratios))
