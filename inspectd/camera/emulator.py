"""Basler's camera emulator, fed from a folder: SDK, nodes and grab engine are real, only the camera is not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import structlog
from PIL import Image as Pillow

from inspectd.camera.image_files import image_files, read_image
from inspectd.camera.nodes import Nodes
from inspectd.errors import CameraError

log = structlog.get_logger()

ENABLED_BY = "PYLON_CAMEMU"
"""Number of emulated cameras the SDK finds, as an environment variable; it looks at each enumeration."""
DEVICE_CLASS = "BaslerCamEmu"

_ORIENTATION = 0x0112
_UPRIGHT = 1


def serve(folder: Path, nodes: Nodes) -> TemporaryDirectory[str]:
    """Have the emulator play the folder's images at the size of the first one, in name order, again and again; each
    start of the acquisition begins at the first. It reads them from the folder returned, which must be kept as long.

    The emulator cuts what is larger and knows nothing of EXIF, so an image that can't be read or has another size than
    the first becomes a broken one (`bad_frame`), and one that is to be turned is turned here.
    Raises CameraError if there is no image.
    """
    files = image_files(folder)
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(_size, files))
    size = next((size for size in sizes if size is not None), None)
    if size is None:
        raise CameraError(f"{folder}: no image there can be decoded")
    shown = TemporaryDirectory(prefix="inspectd-emulator-")
    for path, found in zip(files, sizes, strict=True):
        _show(path, Path(shown.name) / path.name, is_fit=found == size)
    unfit = [path.name for path, found in zip(files, sizes, strict=True) if found not in (size, None)]
    if unfit:
        log.warning("images of another size than the first are no inspection", files=len(unfit), first=unfit[0])
    height, width = size
    nodes.set("TestImageSelector", "Off")
    nodes.set("ImageFilename", shown.name)
    nodes.set("ImageFileMode", "On")
    for name, value in (("BinningHorizontal", 1), ("BinningVertical", 1), ("OffsetX", 0), ("OffsetY", 0)):
        nodes.set(name, value)
    nodes.set("Width", width)
    nodes.set("Height", height)
    return shown


def _size(path: Path) -> tuple[int, int] | None:
    """Height and width as it is to be seen; None if it can't be decoded."""
    image = read_image(path)
    return None if image is None else (image.shape[0], image.shape[1])


def _show(path: Path, shown: Path, *, is_fit: bool) -> None:
    image = read_image(path) if is_fit and _is_turned(path) else None
    if image is not None:
        shown.write_bytes(cv2.imencode(".png", image)[1].tobytes())  # the emulator goes by content, not by name
    elif is_fit:
        shown.symlink_to(path.resolve())
    else:
        shown.touch()


def _is_turned(path: Path) -> bool:
    try:
        with Pillow.open(path) as image:
            return bool(image.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT)
    except (OSError, ValueError, SyntaxError):  # a format that Pillow does not know bears no EXIF that OpenCV obeys
        return False
