"""Photos in files: which files of a folder are photos, and what is in one. The line, training and all tools use this.

A photo is what a camera could have given: 8 bits a value, grey or RGB, opaque, whole, one picture in the file. Anything
else is refused rather than guessed at: pixels of 12 bits in a file of 16 would be read as black.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import structlog

from inspectd.errors import CameraError, ConfigError
from inspectd.part import Image

log = structlog.get_logger()

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
_OTHER_PICTURES = frozenset({".avif", ".dng", ".gif", ".heic", ".heif", ".jp2", ".pgm", ".ppm", ".raw", ".webp"})
"""Probably photos, but in a format that is not read: said, so that nobody believes they were used."""
_NO_PHOTOS = frozenset(
    {"#recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found", "system volume information", "thumbnails"}
)
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa"})
"""Of Pillow: grey or RGB. Palette and 1 bit are the same, written shorter."""

# as many pixels as OpenCV takes; Pillow refuses twice as many as it is told here
PIL.Image.MAX_IMAGE_PIXELS = 2**29


@dataclass(frozen=True, slots=True)
class Listing:
    found: list[Path]
    passed_over: list[Path]
    """Hidden files and folders, pictures in other formats, links that lead nowhere, linked subfolders."""


def remark(passed_over: Sequence[Path]) -> str:
    """One sentence about what is passed over."""
    return f"{len(passed_over)} file(s) or folder(s) are not taken for photos, for example {passed_over[0]}"


def list_photos(folder: Path) -> Listing:
    """All photos in `folder` and its subfolders, by name. Raises ConfigError if the folder can't be read."""
    photos: list[Path] = []
    passed_over: list[Path] = []
    try:
        for place, folders, files in os.walk(folder, onerror=_raise):
            here = Path(place)
            unwanted = {name for name in folders if is_hidden(name) or (here / name).is_symlink()}
            folders[:] = set(folders) - unwanted
            passed_over += map(here.joinpath, unwanted)
            for path in map(here.joinpath, files):
                suffix = path.suffix.lower()
                if suffix in SUFFIXES and not path.name.startswith(".") and path.is_file():
                    photos.append(path)
                elif suffix in SUFFIXES or suffix in _OTHER_PICTURES:
                    passed_over.append(path)
    except OSError as error:
        raise ConfigError(f"{error.filename}: can't be read: {error.strerror}") from error
    return Listing(sorted(photos), sorted(passed_over))


def list_folders(root: Path) -> Listing:
    """Folders of photos in `root`, by name; links to folders too, since somebody has set these on purpose.

    Raises ConfigError if it can't be read."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise ConfigError(f"{root}: no such folder: {error.strerror}") from error
    hidden = [path for path in folders if is_hidden(path.name)]
    return Listing([path for path in folders if path not in hidden], hidden)


def photos_to_play(folder: Path) -> list[Path]:
    """In the order in which a camera shows them. Raises CameraError if there is none."""
    try:
        listing = list_photos(folder)
    except ConfigError as error:
        raise CameraError(str(error)) from error
    if listing.passed_over:
        log.warning(remark(listing.passed_over))
    if not listing.found:
        raise CameraError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    return listing.found


def is_hidden(name: str) -> bool:
    """Whether a folder of this name holds no photos: hidden, a recycle bin, or thumbnails that a program or NAS keeps."""
    return name.startswith((".", "@")) or name.lower() in _NO_PHOTOS


def read_photo(path: Path) -> Image:
    """(h, w) grey or (h, w, 3) BGR uint8, turned upright as its EXIF data says. Raises ConfigError naming file and reason."""
    return decode_photo(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error


def decode_photo(data: bytes, path: Path) -> Image:
    """As `read_photo`; `data` is what the file at `path` holds."""
    try:
        # from memory: from a file, OpenCV fills up a JPEG that is cut short
        image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # an empty file, or more pixels than OpenCV takes
        image = None
    problem = _problem(data) if image is not None else None
    if image is None or problem == "":
        raise ConfigError(f"{path}: is not an image that can be read: must be BMP, JPEG, PNG or TIFF, and whole")
    if image.dtype != np.uint8:
        raise ConfigError(
            f"{path}: has {8 * image.dtype.itemsize} bits a value, must have 8: how many of them the camera used can't be "
            "known from the file; convert it"
        )
    if problem is not None:
        raise ConfigError(f"{path}: {problem}")
    return image


def _problem(data: bytes) -> str | None:
    """Why an image that can be decoded is not a photo; "" if its format is none of ours."""
    try:
        with PIL.Image.open(BytesIO(data), formats=_FORMATS) as header:
            pages = 1 if header.format == "MPO" else getattr(header, "n_frames", 1)  # MPO: a JPEG with previews
            if pages > 1:
                return f"holds {pages} pictures, must hold one: save each in a file of its own"
            if header.mode not in _MODES:
                return f"is stored as {header.mode}, must be grey or RGB: convert it"
            if header.has_transparency_data and np.asarray(header.convert("RGBA"))[..., 3].min() < 255:
                return "has transparent pixels, and a camera gives none: save it without transparency"
    except Exception:  # Pillow's readers raise errors of many kinds
        return ""
    return None


def _raise(error: OSError) -> None:
    raise error
