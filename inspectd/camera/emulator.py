"""Basler's camera emulator, fed from a folder: SDK, nodes and grab engine are real, only the camera is not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import PIL.Image

from inspectd.camera.image_files import photos_to_play, read_photo
from inspectd.camera.nodes import Nodes
from inspectd.errors import CameraError, ConfigError

ENABLED_BY = "PYLON_CAMEMU"
"""Number of emulated cameras the SDK finds, as an environment variable; it looks at each enumeration."""
DEVICE_CLASS = "BaslerCamEmu"
_ORIENTATION = 0x0112
"""EXIF"""


def serve(folder: Path, nodes: Nodes) -> TemporaryDirectory[str]:
    """Have the emulator play the folder's images at the size of the first one, in name order, again and again; each
    start of the acquisition begins at the first. It reads them from the folder returned, which must be kept as long.

    Raises CameraError if there is no image, or one that can't be read: the emulator would show it grey from there on.
    """
    files = photos_to_play(folder)
    # the emulator takes every file for an image and orders them in its own way, so it gets numbered links to those that are
    links = TemporaryDirectory(prefix="inspectd-emulator-")
    try:
        with ThreadPoolExecutor() as pool:
            shapes = list(
                pool.map(lambda entry: _link(entry[1], Path(links.name) / f"{entry[0]:06}"), enumerate(files))
            )
    except (ConfigError, OSError) as error:
        links.cleanup()
        raise CameraError(str(error)) from error
    nodes.set("TestImageSelector", "Off")
    nodes.set("ImageFilename", links.name)
    nodes.set("ImageFileMode", "On")
    nodes.set("OffsetX", 0)
    nodes.set("OffsetY", 0)
    nodes.set("Height", shapes[0][0])
    nodes.set("Width", shapes[0][1])
    return links


def _link(path: Path, link: Path) -> tuple[int, int]:
    """Shows `path` to the emulator upright; (h, w). Raises ConfigError."""
    image = read_photo(path)
    with PIL.Image.open(path) as header:
        is_plain = header.mode in ("L", "RGB") and header.getexif().get(_ORIENTATION, 1) == 1
    if is_plain:
        link.with_suffix(path.suffix).symlink_to(path.resolve())
    else:  # the emulator knows neither orientation nor palettes
        cv2.imwrite(str(link.with_suffix(".png")), image)
    return image.shape[0], image.shape[1]
