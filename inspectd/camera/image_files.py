"""Which files of a folder are images, in which order a camera that plays a folder shows them, and what is in one."""

from pathlib import Path

import cv2

from inspectd.errors import CameraError
from inspectd.part import Image

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}


def image_files(folder: Path) -> list[Path]:
    """In name order, without what lies beside them. Raises CameraError if there is none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise CameraError(f"{folder}: {error.strerror}") from error
    if not paths:
        raise CameraError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    return paths


def read_image(path: Path) -> Image | None:
    """(h, w) grey or (h, w, 3) BGR uint8, as a camera would have given it; None if it can't be decoded."""
    try:
        return cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)
    except cv2.error:  # e.g. more pixels than OpenCV takes
        return None
