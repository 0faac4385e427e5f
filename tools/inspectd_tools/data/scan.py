"""Find the photos of a data set and look at each once: is it readable, how large, bright and sharp is it, and what is its hash?"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import SUFFIXES, Listing, decode_photo, list_folders, list_photos, read_bytes, remark
from inspectd.class_name import check_class_name
from inspectd.errors import ConfigError
from inspectd.files.text_file import shown
from inspectd.inference.preprocess import to_grey
from inspectd.terminal import track
from inspectd_tools.data.manifest import UNKNOWN

_HASH_SIDE = 16
_NAMED = 10
MASKS = "masks"
"""A folder that tools/synthesize.py writes beside the class folders; it holds masks of faults, not photos."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A readable photo. `brightness`: mean grey level; `sharpness`: variance of the Laplacian (Pech-Pacheco et al. 2000)."""

    path: Path
    label: int
    sha256: str
    width: int
    height: int
    brightness: float
    sharpness: float
    looks: NDArray[np.uint64]
    """(4,) difference hash: 256 bits. Only a few bits differ between two photos of the same thing."""


def class_folders(root: Path) -> tuple[str, ...]:
    """Folders of `root` in name order. Raises ConfigError if there are fewer than two."""
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder")
    names = tuple(path.name for path in _with_remark(list_folders(root)))
    if len(names) < 2:
        raise ConfigError(
            f"{root}: must hold one folder of photos per class, at least two; holds {len(names)} folder(s)"
        )
    for name in names:
        try:
            check_class_name(name)
        except ValueError as error:
            raise ConfigError(f"{shown(str(root))}: {error}; rename the folder") from error
    return names


def known_folders(root: Path) -> tuple[str, ...]:
    """Class folders of `root` in name order, without the folders of unknowns. Raises ConfigError."""
    return tuple(name for name in class_folders(root) if not name.startswith(UNKNOWN))


def class_photos(root: Path, folders: Sequence[str]) -> list[tuple[Path, int]]:
    """All photos of `root/<folder>`; the label is the index of the folder in `folders`. Only folders of unknowns may be missing.

    Raises ConfigError.
    """
    return [
        (path, label)
        for label, name in enumerate(folders)
        if not name.startswith(UNKNOWN) or (root / name).is_dir()
        for path in photos_of(root / name)
    ]


def photos_of(folder: Path) -> list[Path]:
    """Photos in `folder` and its subfolders, in name order. Raises ConfigError if there is none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such class folder")
    photos = _with_remark(list_photos(folder))
    if not photos:
        raise ConfigError(f"{folder}: holds no photo ({', '.join(sorted(SUFFIXES))})")
    return photos


def _with_remark(listing: Listing) -> list[Path]:
    if listing.passed_over:
        print(remark(listing.passed_over), file=sys.stderr)
    return listing.found


def refuse_two_labels(photos: Iterable[tuple[Path, int, str]]) -> None:
    """Refuse equal files in two classes, from (path, label, SHA-256): one of the two labels is wrong. Raises ConfigError."""
    first: dict[str, tuple[Path, int]] = {}
    wrong = []
    for path, label, digest in photos:
        other, other_label = first.setdefault(digest, (path, label))
        if other_label != label:
            wrong.append(f"{path}: is the same file as {other} of another class; delete the wrong one")
    if wrong:
        more = [f"{len(wrong) - _NAMED} more photos are in two classes"] if len(wrong) > _NAMED else []
        raise ConfigError("\n  ".join([*wrong[:_NAMED], *more]))


def look_at(files: Sequence[tuple[Path, int]]) -> tuple[list[Seen], dict[Path, str]]:
    """What was seen of each (path, label), and for each photo that can't be used a sentence that names the file."""
    with ThreadPoolExecutor() as pool:
        looked = list(track(pool.map(lambda file: _look_at(*file), files), description="look", total=len(files)))
    seen = [entry for entry in looked if isinstance(entry, Seen)]
    return seen, {path: entry for (path, _), entry in zip(files, looked, strict=True) if isinstance(entry, str)}


def _look_at(path: Path, label: int) -> Seen | str:
    try:
        data = read_bytes(path)
        grey = to_grey(decode_photo(data, path))
    except ConfigError as error:
        return str(error)
    return Seen(
        path=path,
        label=label,
        sha256=hashlib.sha256(data).hexdigest(),
        width=grey.shape[1],
        height=grey.shape[0],
        brightness=float(grey.mean()),
        sharpness=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        looks=difference_hash(grey),
    )


def difference_hash(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(h, w) uint8 -> (4,) uint64. Light and contrast do not change it (Krawetz 2013, "Kind of like that")."""
    small = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)
