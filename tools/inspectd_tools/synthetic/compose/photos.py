"""The photos and templates that a config of `compose` names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.preprocess import to_grey
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.data.scan import class_photos, photos_of
from inspectd_tools.synthetic.compose.config import Box, ComposeConfig
from inspectd_tools.synthetic.compose.ink import surface
from inspectd_tools.synthetic.compose.matching import Template

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Source:
    path: Path
    class_: str


@dataclass(frozen=True, slots=True)
class Background:
    """A photo without a part: `image` (h, w) uint8."""

    photo: Path
    image: Grey


def sources_of(config: ComposeConfig) -> list[Source]:
    """All photos that prints, faults or grounds are taken from, by class and name. Raises ConfigError."""
    wanted = list(dict.fromkeys((*config.classes, *config.ground.classes)))
    if is_csv(config.photos):
        manifest = read_manifest(config.photos)
        for name in wanted:
            if name not in manifest.names:
                raise ConfigError(f"{config.photos}: has no class {name}; has {', '.join(manifest.names)}")
        photos = [photo for photo in manifest.photos if photo.split == config.split]
        return [Source(photo.path, name) for name in wanted for photo in photos if manifest.names[photo.label] == name]
    return [Source(path, wanted[label]) for path, label in class_photos(config.photos, wanted)]


def load_templates(config: ComposeConfig) -> dict[str, Template]:
    """All templates by name. Raises ConfigError naming a photo that cannot be read, or a box that is not inside its photo."""
    templates = {}
    bodies = config.part.body.templates if config.part else ()
    for name, entry in config.templates.items():
        photo = read_grey(entry.photo)
        label = entry.label or entry.box
        for key, box in (("box", entry.box), ("label", label)):
            check_inside(box, photo, f"templates.{name}.{key}")
        templates[name] = Template(name, surface(photo, config.ink) if name in bodies else photo, entry.box, label)
    return templates


def load_backgrounds(config: ComposeConfig) -> list[Background]:
    """The photos of `part.backgrounds`; none if the part stays in its photo. Raises ConfigError."""
    if config.part is None or config.part.backgrounds is None:
        return []
    return [Background(path, read_grey(path)) for path in photos_of(config.part.backgrounds)]


def read_grey(path: Path) -> Grey:
    """Read a photo as (h, w) uint8. Raises ConfigError."""
    return to_grey(read_photo(path))


def check_inside(box: Box, photo: Grey, key: str) -> None:
    """Raises ConfigError that names `key` if `box` reaches out of the photo."""
    left, top, width, height = box
    if left + width > photo.shape[1] or top + height > photo.shape[0]:
        raise ConfigError(
            f"{key}: {list(box)} (left, top, width, height) reaches out of the photo, "
            f"which is {photo.shape[1]} wide and {photo.shape[0]} high"
        )
