"""No photo may be in two of training, calibration and test."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.errors import ConfigError
from inspectd_tools.data.images import Images
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.separate import check_separate


def judged(folder: str, *photos: str) -> Judged:
    """Photos by their content; the label is the place of its first letter in the alphabet."""
    labels = np.array([ord(photo[0]) - ord("a") for photo in photos], np.int64)
    files = tuple(Path(folder, f"{place}-{photo}.png") for place, photo in enumerate(photos))
    images = Images(files, np.zeros((len(photos), 1, 1, 1), np.uint8), labels, photos)
    return Judged(images, np.arange(len(photos), dtype=np.int32), ("a", "b"), np.zeros((len(photos), 2), np.float32))


def trained(train=(), val=()):
    return {"train": {photo: f"run/{photo}" for photo in train}, "val": {photo: f"run/{photo}" for photo in val}}


CALIBRATION, TEST = judged("calibration", "a1", "b1", "b2"), judged("test", "a3", "b3")


def test_different_photos_are_fine_and_need_no_remark():
    assert check_separate(trained(["a9"], ["b9"]), CALIBRATION, TEST) == ""


def test_validation_photos_may_calibrate_and_this_is_said():
    assert check_separate(trained(["a9"], ["b1"]), CALIBRATION, TEST) == (
        "; the calibration photos are validation photos of the training, too"
    )


def test_a_run_that_records_no_photos_is_said():
    assert "it was not checked that the calibration and test photos are others" in check_separate(
        None, CALIBRATION, TEST
    )


@pytest.mark.parametrize(
    ("run", "test", "said"),
    [
        (
            trained(["b2", "a1"]),
            TEST,
            r"^calibration/0-a1.png is run/a1; calibration/2-b2.png is run/b2: 2 of 3 calibration",
        ),
        (trained(["b3"]), TEST, r"^test/1-b3.png is run/b3: 1 of 2 test photos are training photos, too"),
        (trained([], ["b3"]), TEST, "1 of 2 test photos are validation photos, too"),
        (
            trained(),
            judged("test", "a3", "a1"),
            r"test/1-a1.png is calibration/0-a1.png: 1 of 2 test photos are calibration",
        ),
        (None, judged("test", "a3", "a1"), "1 of 2 test photos are calibration photos, too"),
    ],
)
def test_a_photo_in_two_sets_is_named(run, test, said):
    with pytest.raises(ConfigError, match=said):
        check_separate(run, CALIBRATION, test)


def test_of_many_only_a_few_are_named():
    with pytest.raises(ConfigError) as error:
        many = [f"a{number}" for number in range(100, 200)]
        check_separate(trained(many), judged("calibration", *many), TEST)
    assert str(error.value).count("run/") == 3
    assert "100 of 100 calibration photos" in str(error.value)
