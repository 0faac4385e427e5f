"""Pictures that tell which one they are, and cameras that show them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import TypeAdapter

from inspectd.camera import Camera, CameraConfig
from inspectd.part import Image

_CONFIG: TypeAdapter[Any] = TypeAdapter(CameraConfig)


def create_camera(**config: object) -> Camera:
    """From a `camera` section as it stands in a line config."""
    return _CONFIG.validate_python(config).create()


def pylon_config(folder: Path, **changes: object) -> dict[str, object]:
    """The emulated Basler camera, software-triggered at 100/s."""
    return {
        "kind": "pylon",
        "emulated": {"images": str(folder)},
        "exposure_us": 100,
        "trigger": {"source": "software", "rate_hz": 100},
        "max_age_ms": 2000,
    } | changes


def noise(count: int, *shape: int) -> list[Image]:
    """Pictures of noise whose top left pixel is their place in the list."""
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]
    for place, image in enumerate(images):
        image[0, 0] = place
    return images


def place_of(image: Image) -> int:
    return int(image[0, 0].flat[0])


def write(images: list[Image], folder: Path, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{place:03d}{suffix}"), image)
    return folder
