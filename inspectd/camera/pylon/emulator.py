"""Basler's camera emulator, fed from a folder: SDK, nodes and grab engine are real, only the camera is not."""

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
    """Have the emulator play the folder's images at the size of the first one, in name order, again and again; each
    start of the acquisition begins at the first. It reads them from the folder returned, which must be kept as long.

    The emulator cuts what is larger, fills up what is cut short, and knows neither EXIF nor palettes. So what can't be
    used or has another size than the first becomes a broken image (`bad_frame`), and the rest is shown as it is read here.
    Raises CameraError if there is no image.
    """
    files = photos_to_play(folder)
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(_size, files))
    size = next((size for size in sizes if size is not None), None)
    if size is None:
        raise CameraError(f"{folder}: no image there can be used")
    shown = TemporaryDirectory(prefix="inspectd-emulator-")
    for number, (path, found) in enumerate(zip(files, sizes, strict=True)):  # the emulator orders names in its own way
        _show(path, Path(shown.name) / f"{number:06}{path.suffix}", is_fit=found == size)
    unfit = [path.name for path, found in zip(files, sizes, strict=True) if found not in (size, None)]
    if unfit:
        log.warning("images of another size than the first are not inspection", files=len(unfit), first=unfit[0])
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
    """Height and width as it is to be seen; None if it can't be used."""
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
        )  # the emulator goes by content, not by name


def _is_plain(path: Path) -> bool:
    with Pillow.open(path) as image:
        return image.mode in ("L", "RGB") and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
