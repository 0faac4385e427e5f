"""Basler's camera emulator, fed from a folder: SDK, nodes and grab engine are real, only the camera is not."""

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from inspectd.camera.image_files import image_files
from inspectd.camera.nodes import Nodes
from inspectd.errors import CameraError

ENABLED_BY = "PYLON_CAMEMU"
"""Number of emulated cameras the SDK finds, as an environment variable; it looks at each enumeration."""
DEVICE_CLASS = "BaslerCamEmu"


def serve(folder: Path, nodes: Nodes) -> TemporaryDirectory[str]:
    """Have the emulator play the folder's images at the size of the first one, in name order, again and again; each
    start of the acquisition begins at the first. It reads them from the folder returned, which must be kept as long.

    Raises CameraError if there is no image.
    """
    files = image_files(folder)
    first = next((image for path in files if (image := cv2.imread(str(path))) is not None), None)
    if first is None:
        raise CameraError(f"{folder}: no image there can be decoded")
    # the emulator takes every file for an image, so it gets links to those that are
    links = TemporaryDirectory(prefix="inspectd-emulator-")
    for path in files:
        (Path(links.name) / path.name).symlink_to(path.resolve())
    nodes.set("TestImageSelector", "Off")
    nodes.set("ImageFilename", links.name)
    nodes.set("ImageFileMode", "On")
    nodes.set("OffsetX", 0)
    nodes.set("OffsetY", 0)
    nodes.set("Width", first.shape[1])
    nodes.set("Height", first.shape[0])
    return links
