"""Basler's camera emulator with the images of a folder. SDK, nodes and grab engine are the real ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import structlog
from PIL import Image as Pillow

from inspectd.camera.image_files import photos_to_play, read_photo
from inspectd.camera.pylon.nodes import Nodes
from inspectd.errors import CameraError, ConfigError

log = structlog.get_logger()

ENABLED_BY = "PYLON_CAMEMU"
"""Number of emulated cameras the SDK finds, as an environment variable; it looks at each enumeration."""
DEVICE_CLASS = "BaslerCamEmu"

_ORIENTATION = 0x0112
_UPRIGHT = 1


def serve(folder: Path, nodes: Nodes) -> TemporaryDirectory[str]:
    """Let the emulator play the images of `folder` in the order of their names, again and again.

    Each start of the acquisition begins with the first image. The emulator reads the images from the temporary folder that
    is returned; keep it while the emulator runs. The emulator itself would cut larger images, fill in incomplete ones, and
    ignore EXIF data and palettes. So an image that can't be used, or has another size than the first one, becomes a
    `bad_frame`, and all others are played as `read_photo` reads them. Raises CameraError if there is no image.
    """
    files = photos_to_play(folder)
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(_size, files))
    size = next((size for size in sizes if size is not None), None)
    if size is None:
        raise CameraError(f"{folder}: contains no image that can be used")
    shown = TemporaryDirectory(prefix="inspectd-emulator-")
    for number, (path, found) in enumerate(zip(files, sizes, strict=True)):  # the emulator sorts names in its own way
        _show(path, Path(shown.name) / f"{number:06}{path.suffix}", is_fit=found == size)
    unfit = [path.name for path, found in zip(files, sizes, strict=True) if found not in (size, None)]
    if unfit:
        log.warning("images with another size than the first become bad frames", files=len(unfit), first=unfit[0])
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
    """Height and width of the upright image; None if it can't be used."""
    try:
        image = read_photo(path)
    except ConfigError as error:
        log.warning("image can't be used", error=str(error))
        return None
    return image.shape[0], image.shape[1]


def _show(path: Path, shown: Path, *, is_fit: bool) -> None:
    if not is_fit:
        shown.touch()
    elif _is_plain(path):
        shown.symlink_to(path.resolve())
    else:
        shown.write_bytes(
            cv2.imencode(".png", read_photo(path))[1].tobytes()
        )  # the emulator reads the format from the content, not from the name


def _is_plain(path: Path) -> bool:
    with Pillow.open(path) as image:
        return image.mode in ("L", "RGB") and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
