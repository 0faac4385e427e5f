"""Which files of a folder are images, and in which order a camera that plays a folder shows them."""

from pathlib import Path

from inspectd.errors import CameraError

_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}


def image_files(folder: Path) -> list[Path]:
    """In name order, without what lies beside them. Raises CameraError if there is none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise CameraError(f"{folder}: {error.strerror}") from error
    if not paths:
        raise CameraError(f"{folder}: holds no image ({', '.join(sorted(_SUFFIXES))})")
    return paths
