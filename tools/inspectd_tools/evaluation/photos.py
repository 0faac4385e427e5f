"""The photos to evaluate a model with: photos of its classes, and unknown ones that it must reject."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspectd.camera.image_files import list_folders
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd_tools.data.images import Images, load_images, load_photos
from inspectd_tools.data.manifest import SPLITS, Split, read_manifest
from inspectd_tools.data.published import load_sets, load_unknown, usual_unknown
from inspectd_tools.data.scan import MASKS, class_photos
from inspectd_tools.evaluation.model import Model


@dataclass(frozen=True, slots=True)
class Photos:
    """`known`: photos of the model's classes, with their labels; `unknown`: folder -> photos of no class."""

    known: Images
    unknown: dict[str, Images]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of all files, in order, as `Images.fingerprint`."""
        digests = (digest for images in (self.known, *self.unknown.values()) for digest in images.digests)
        return hashlib.sha256("".join(digests).encode()).hexdigest()


def photos_for(model: Model, data: Path | None, split: Split, others: list[Path]) -> Photos:
    """Load a manifest (csv) or a folder of class folders. Photos of other classes and those in `others` are unknown.

    Without `data`, load the test images of the published set that the run was trained on. Raises ConfigError naming the
    file, or the class that has no photo.
    """
    if data is None:
        known, unknown = _published(model), {}
        others = others or (usual_unknown(model.settings) if model.settings else [])
    else:
        images, names = _of_manifest(model, data, split) if is_csv(data) else _of_folder(model, data)
        known = images.take(np.flatnonzero(images.labels < len(model.classes)))
        unknown = {
            name: images.take(np.flatnonzero(images.labels == place))
            for place, name in enumerate(names)
            if place >= len(model.classes) and (images.labels == place).any()
        }
    for path in others:
        is_taken = str(path) in (*model.classes, *unknown)
        unknown[str(path.resolve() if is_taken else path)] = load_unknown(path, model.input)
    return Photos(known, unknown)


def _published(model: Model) -> Images:
    test = load_sets(model.settings, None).test if model.settings and model.settings.dataset else None
    if test is None:
        raise ConfigError("--data: must be given: a manifest (csv), or a folder with one folder of photos per class")
    return test


def _of_folder(model: Model, root: Path) -> tuple[Images, tuple[str, ...]]:
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder")
    others = [path.name for path in list_folders(root).found if path.name not in (*model.classes, MASKS)]
    names = (*model.classes, *others)
    return load_images(class_photos(root, names), model.input), names


def _of_manifest(model: Model, path: Path, split: Split) -> tuple[Images, tuple[str, ...]]:
    """The manifest may list the classes in another order than the model, and may have more classes."""
    manifest = read_manifest(path)
    names = (*model.classes, *(name for name in manifest.names if name not in model.classes))
    for name in model.classes:
        if name not in manifest.names or not manifest.count(manifest.names.index(name), split):
            raise ConfigError(
                f"{path}: holds no photo of the model's class {name} in split {split}; "
                f"its classes: {', '.join(manifest.names)}; splits: {', '.join(SPLITS)}"
            )
    images = load_photos([photo for photo in manifest.photos if photo.split == split], model.input, split)
    labels = np.array([names.index(name) for name in manifest.names], np.int64)[images.labels]
    return Images(images.files, images.pixels, labels, images.digests), names
