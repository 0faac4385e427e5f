"""Synthetic and real photos, resized to the same size so that they do not differ by sharpness alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.data.images import Images, load_images, load_photos, split
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.data.scan import class_photos, known_folders

_MIN_SIDE_PX = 16


@dataclass(frozen=True, slots=True)
class Compared:
    classes: tuple[str, ...]
    synthetic: Images
    """May lack classes."""
    known: Images
    """Real photos that the synthetic ones may have been made from."""
    unseen: Images
    """Real photos that nothing has been made from."""
    side_px: int


def load(synthetic: Path, real: Path, seed: int) -> Compared:
    """Load both. `synthetic`: folder with one folder per class. `real`: a manifest (`train` is known, `test` is unseen), or a
    folder, which is split into two halves.

    Raises ConfigError.
    """
    manifest = read_manifest(real, "train", "test") if is_csv(real) else None
    classes = manifest.classes if manifest else known_folders(real)
    if not synthetic.is_dir():
        raise ConfigError(f"{synthetic}: no such folder")
    there = [(label, name) for label, name in enumerate(classes) if (synthetic / name).is_dir()]
    if not there:
        raise ConfigError(f"{synthetic}: has no folder of a class of {real}; the classes are {', '.join(classes)}")
    made = [(path, label) for label, name in there for path, _ in class_photos(synthetic, [name])]
    taken = (
        [(photo.path, photo.label) for photo in (*manifest.of("train"), *manifest.of("test"))]
        if manifest
        else class_photos(real, classes)
    )
    side_px = max(_MIN_SIDE_PX, smallest_side_px(path for path, _ in (*made, *taken)))
    spec = square(side_px)
    if manifest:
        known, unseen = (load_photos(manifest.of(side), spec, side) for side in ("train", "test"))
    else:
        known, unseen = split(load_images(taken, spec, "real"), 0.5, seed)
    return Compared(classes, load_images(made, spec, "synthetic"), known, unseen, side_px)


def smallest_side_px(files: Iterable[Path]) -> int:
    """Raises ConfigError naming a file that is not a photo."""
    return min(min(read_photo(path).shape[:2]) for path in files)


def square(side_px: int) -> InputSpec:
    """RGB, stretched to `side_px` x `side_px`."""
    return InputSpec(width=side_px, height=side_px, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
