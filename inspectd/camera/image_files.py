"""Photos in files: which files of a folder are photos, and how to read one. The line, training and all tools use this.

A photo is an image as a camera gives it: 8 bits per value, grey or RGB, opaque, complete, one per file. Everything else is an
error. For example, 12-bit pixels in a 16-bit file would look black.
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
"""Probably photos, but in formats that are not read. They are reported, so that nobody believes they were used."""
_NO_PHOTOS = frozenset(
    {"#recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found", "system volume information", "thumbnails"}
)
_JPEG = b"\xff\xd8"
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF")
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa"})
"""Pillow's modes for grey or RGB. Palettes and 1-bit images are shorter forms of these."""

# as many pixels as OpenCV allows; Pillow rejects twice this number
PIL.Image.MAX_IMAGE_PIXELS = 2**29


@dataclass(frozen=True, slots=True)
class Listing:
    found: list[Path]
    passed_over: list[Path]
    """Hidden files and folders, pictures in other formats, broken links, linked subfolders."""


def remark(passed_over: Sequence[Path]) -> str:
    """One sentence about files and folders that are not used."""
    return f"{len(passed_over)} file(s) or folder(s) are not used as photos, for example {passed_over[0]}"


def list_photos(folder: Path) -> Listing:
    """All photos in `folder` and its subfolders, in the order of their names. Raises ConfigError if it can't be read."""
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
    """Folders of photos in `root`, in the order of their names, with links to folders.

    Raises ConfigError if `root` can't be read.
    """
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise ConfigError(f"{root}: no such folder: {error.strerror}") from error
    hidden = [path for path in folders if is_hidden(path.name)]
    return Listing([path for path in folders if path not in hidden], hidden)


def photos_to_play(folder: Path) -> list[Path]:
    """All photos of a folder in the order in which a camera plays them. Raises CameraError if there is none."""
    try:
        listing = list_photos(folder)
    except ConfigError as error:
        raise CameraError(str(error)) from error
    if listing.passed_over:
        log.warning(remark(listing.passed_over))
    if not listing.found:
        raise CameraError(f"{folder}: contains no image ({', '.join(sorted(SUFFIXES))})")
    return listing.found


def is_hidden(name: str) -> bool:
    """Whether a folder of this name is ignored: it is hidden, a recycle bin, or has thumbnails of a program or NAS."""
    return name.startswith((".", "@")) or name.lower() in _NO_PHOTOS


def read_photo(path: Path) -> Image:
    """(h, w) grey or (h, w, 3) BGR uint8, turned upright by its EXIF data. Raises ConfigError naming file and reason."""
    return decode_photo(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error


def decode_photo(data: bytes, path: Path) -> Image:
    """As `read_photo`, for `data` that was read from the file at `path`."""
    try:
        # from memory: when OpenCV reads a file, it fills in the missing part of a JPEG
        image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # an empty file, or more pixels than OpenCV allows
        image = None
    problem = _problem(data) if image is not None else None
    if image is None or problem == "":
        raise ConfigError(f"{path}: is not an image that can be read; it must be a complete BMP, JPEG, PNG or TIFF")
    if image.dtype != np.uint8:
        raise ConfigError(
            f"{path}: has {8 * image.dtype.itemsize} bits per value, must have 8; convert it: the file does not say how "
            "many bits the camera used"
        )
    if problem is not None:
        raise ConfigError(f"{path}: {problem}")
    if data.startswith(_JPEG):
        _refuse_damage(data, path)
    return image


def _refuse_damage(jpeg: bytes, path: Path) -> None:
    """OpenCV and Pillow fill a damaged part of a JPEG with grey, and say nothing."""
    import simplejpeg  # only JPEG files need it

    try:
        simplejpeg.decode_jpeg(jpeg, "GRAY", strict=True)
    except ValueError as error:
        raise ConfigError(f"{path}: is damaged, so a part of the image is wrong: {error}") from error


def _problem(data: bytes) -> str | None:
    """Why an image that can be decoded is not a photo; "" if its format is not supported, None if it is a photo."""
    try:
        with PIL.Image.open(BytesIO(data), formats=_FORMATS) as header:
            pages = 1 if header.format == "MPO" else getattr(header, "n_frames", 1)  # MPO: a JPEG with previews
            if pages > 1:
                return f"contains {pages} pictures, must contain one: save each in a separate file"
            if header.mode not in _MODES:
                return f"is stored as {header.mode}, must be grey or RGB: convert it"
            if header.has_transparency_data and np.asarray(header.convert("RGBA"))[..., 3].min() < 255:
                return "has transparent pixels; save it without transparency"
    except Exception:  # Pillow's readers raise many kinds of errors
        return ""
    return None


def _raise(error: OSError) -> None:
    raise error
