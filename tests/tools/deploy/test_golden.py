"""Golden images are what the camera gave, so that the line's own way to the network is checked by them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.camera.image_files import decode_photo, read_photo
from inspectd.inference.preprocess import InputSpec, preprocess
from inspectd_tools.data.images import load_images
from inspectd_tools.deploy.bundle import golden_places, write_golden
from inspectd_tools.deploy.judged import Judged
from tests.camera.photo_kinds import PHOTOS, scene


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["colour jpg", "png with a colour profile", "grey bmp", "JPEG turned 6"])
def test_golden_images_are_as_the_camera_gave_them(tmp_path: Path, kind: str, channels: int) -> None:
    suffix, make = PHOTOS[kind]
    files = [tmp_path / f"{label}{suffix}" for label in range(2)]
    for label, path in enumerate(files):
        path.write_bytes(make(scene(label)))
    spec = InputSpec(width=32, height=24, channels=channels, mean=(0.5,) * channels, std=(0.2,) * channels)
    images = load_images([(path, label) for label, path in enumerate(files)], spec)
    judged = Judged(images, np.arange(2, dtype=np.int32), ("bad", "good"), np.eye(2, dtype=np.float32))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    golden = write_golden(judged, golden_places(judged), bundle)
    assert [entry.path for entry in golden] == ["golden/bad.png", "golden/good.png"]
    for entry, path, pixels in zip(golden, files, images.pixels, strict=True):
        image = decode_photo((bundle / entry.path).read_bytes(), bundle / entry.path)
        np.testing.assert_array_equal(image, read_photo(path))
        np.testing.assert_array_equal(preprocess(image, spec)[0], pixels)
        stored = cv2.imread(str(bundle / entry.path), cv2.IMREAD_UNCHANGED)
        assert stored.ndim == (2 if "grey" in kind else 3)
