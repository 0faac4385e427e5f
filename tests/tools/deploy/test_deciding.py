"""The photos that decide the threshold are named and shown."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.learning.threshold import calibrate
from inspectd_tools.data.images import Images
from inspectd_tools.deploy.deciding import deciding_photos, deciding_section, deciding_text, write_sheet
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.settings import load_settings
from tests.factories import toy_image

SETTINGS = load_settings("filter-label", [])
GOOD = SETTINGS.classes.index(SETTINGS.pass_class)
CROOKED = 0 if GOOD else 1
NAMES = (*SETTINGS.classes, "unknown_oil")
UNKNOWN = len(SETTINGS.classes)


def judged(folder: Path, faulty: np.ndarray, unknown: np.ndarray) -> Judged:
    """20 good photos with certainty 0.9, faulty and unknown ones with these; 0: taken for another class."""
    certainty = np.concatenate([np.full(20, 0.9), faulty, unknown]).astype(np.float32)
    labels = np.repeat([GOOD, CROOKED, UNKNOWN], [20, len(faulty), len(unknown)])
    scores = np.full((len(certainty), UNKNOWN), 1e-6, np.float32)
    scores[:, GOOD] = certainty
    files = tuple(folder / f"{place}.png" for place in range(len(certainty)))
    digests = tuple(str(place) for place in range(len(certainty)))
    images = Images(files, np.zeros((len(certainty), 1, 1, 1), np.uint8), labels, digests)
    return Judged(images, np.arange(len(certainty), dtype=np.int32), NAMES, scores)


def test_those_that_pass_and_those_just_below_are_named(tmp_path):
    faulty, unknown = np.linspace(0, 0.5, 200), np.linspace(0, 0.4, 100)
    calibration = judged(tmp_path, faulty, unknown)
    threshold = calibrate(calibration.by_kind(SETTINGS), "0" * 64, 0.05)
    passed = {name: kind.passed for name, kind in threshold.false_accepts.items()}
    assert passed[NAMES[CROOKED]] > 0
    found = deciding_photos(calibration, SETTINGS, threshold)
    for name, place in ((NAMES[CROOKED], 20 + 199), ("unknown_oil", 20 + 299)):
        mine = [photo for photo in found if photo.truth == name]
        assert [photo.passes for photo in mine] == [True] * passed[name] + [False] * 3
        assert [photo.path.name for photo in mine] == [f"{place - number}.png" for number in range(len(mine))]
    lines = str(deciding_text(found)).splitlines()[1:]
    assert [line.split()[-1] for line in lines] == [str(photo.path) for photo in found]
    certainty = [photo.certainty for photo in found]
    assert certainty == sorted(certainty, reverse=True)


def test_photos_that_pass_at_no_threshold_decide_nothing(tmp_path):
    calibration = judged(tmp_path, np.zeros(60), np.zeros(60))
    threshold = calibrate(calibration.by_kind(SETTINGS), "0" * 64, 0.05)
    found = deciding_photos(calibration, SETTINGS, threshold)
    assert (found, deciding_section(found)) == ([], [])
    assert str(deciding_text(found)) == "No faulty or unknown calibration photo looks like a good one."
    write_sheet(tmp_path, found)
    assert list(tmp_path.iterdir()) == []


def test_they_are_on_a_sheet_in_the_order_of_the_table(tmp_path):
    calibration = judged(tmp_path, np.linspace(0, 0.5, 100), np.zeros(0))
    for file, grey in zip(calibration.images.files, np.linspace(0, 255, 120), strict=True):
        cv2.imwrite(str(file), toy_image(int(grey), width=320, height=240))
    threshold = calibrate(calibration.by_kind(SETTINGS), "0" * 64, 0.05)
    found = deciding_photos(calibration, SETTINGS, threshold)
    write_sheet(tmp_path, found)
    sheet = cv2.imread(str(tmp_path / "deciding.jpg"), cv2.IMREAD_GRAYSCALE)
    for column, photo in enumerate(found[:6]):
        drawn, original = sheet[:240, 320 * column :][:, :320], cv2.imread(str(photo.path), cv2.IMREAD_GRAYSCALE)
        assert np.abs(drawn.astype(int) - original).mean() < 5
    assert sum("just below" in line for line in deciding_section(found)) == 3
