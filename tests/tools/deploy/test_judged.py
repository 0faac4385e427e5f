"""What is calibrated and tested with: parts, of which the manifest says which photos show them."""

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd_tools.data import prepare
from inspectd_tools.deploy.judged import judge
from inspectd_tools.settings import load_settings
from tests.factories import toy_image

SETTINGS = load_settings("filter-label", ["input.width=64", "input.height=48"])


def constant(batch):
    return np.full((len(batch), len(SETTINGS.classes)), 0.5, np.float32)


@pytest.fixture
def photos(tmp_path):
    """Ten parts of each class and of a kind of unknown, each in three photos."""
    for label, name in enumerate([*SETTINGS.classes, "unknown_oil"]):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            image = toy_image(40 * label, seed=30 * label + number)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{name}_{number // 3}_{number % 3}.png"), image)
    return tmp_path / "photos"


def test_photos_of_one_group_are_one_part(tmp_path, photos):
    manifest = tmp_path / "photos.csv"
    arguments = ["--suffix", "_[0-9]", "--shares", "10,45,45", "--near", "-1", "--out", str(manifest)]
    assert prepare.main([str(photos), *arguments]) == 0
    judged = judge(manifest, "val", SETTINGS, constant)
    kinds = judged.by_kind(SETTINGS)
    assert len(judged.images.labels) == 3 * (len(kinds.good) + len(kinds.all_faulty) + len(kinds.all_unknown))
    assert len(kinds.all_unknown) == 5


def test_in_folders_each_file_is_a_part_and_equal_files_are_one(photos):
    for copy in range(5):
        for name in (SETTINGS.classes[0], "unknown_oil"):
            (photos / name / f"copy {copy}.png").write_bytes((photos / name / f"{name}_0_0.png").read_bytes())
    kinds = judge(photos, "val", SETTINGS, constant).by_kind(SETTINGS)
    assert {len(values) for values in (kinds.good, *kinds.faulty.values(), *kinds.unknown.values())} == {30}
