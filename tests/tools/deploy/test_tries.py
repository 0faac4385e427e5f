"""Trying several bounds on the same photos is paid for."""

import numpy as np
import pytest

from inspectd.errors import ConfigError, EngineError
from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import calibrate
from inspectd_tools.deploy.tries import charge

KINDS = ByKind(
    np.linspace(0.5, 1, 50, dtype=np.float32),
    {"crooked": np.linspace(0, 0.5, 400, dtype=np.float32)},
    {"unknown_oil": np.linspace(0, 0.7, 400, dtype=np.float32)},
)
PHOTOS, OTHERS = "0" * 64, "1" * 64


def test_the_first_bound_has_the_full_confidence(tmp_path):
    tries = charge(tmp_path, KINDS, PHOTOS, [0.02])
    assert (tries.each, tries.claimed, tries.remark) == (0.95, 0.95, "")


def test_the_same_bound_again_costs_nothing(tmp_path):
    for alphas in ([0.02, 0.05], [0.05, 0.02], [0.02, 0.05, 0.02]):
        tries = charge(tmp_path, KINDS, PHOTOS, alphas)
        assert (tries.each, tries.claimed) == (0.975, 0.95)


def test_bounds_that_are_tried_at_once_share_the_5_percent(tmp_path):
    tries = charge(tmp_path, KINDS, PHOTOS, [0.02, 0.05])
    alone, shared = calibrate(KINDS, PHOTOS, 0.05), calibrate(KINDS, PHOTOS, 0.05, "", tries)
    assert shared.value > alone.value
    assert shared.confidence == 0.95
    assert shared.method == alone.method + "; 2 values of alpha were tried at once"


def test_another_bound_after_looking_is_charged_for_all(tmp_path):
    for number, alpha in enumerate((0.02, 0.03, 0.04, 0.05), start=1):
        tries = charge(tmp_path, KINDS, PHOTOS, [alpha])
        assert tries.claimed == pytest.approx(1 - 0.05 * number)
        assert tries.each == 0.95
    threshold = calibrate(KINDS, PHOTOS, 0.05, "", tries)
    assert threshold.confidence == 0.8
    assert threshold.method.endswith(
        "; --alpha or --good-rejected was changed 3 time(s) on these photos, so the confidence is 80%"
    )
    with pytest.raises(
        ConfigError, match=r"4 other choices were tried on these calibration photos: 0.02; 0.03; 0.04; 0.05; take"
    ):
        charge(tmp_path, KINDS, PHOTOS, [0.06])
    assert charge(tmp_path, KINDS, PHOTOS, [0.03]).claimed == 0.8


def test_another_share_of_rejected_good_parts_is_another_choice(tmp_path):
    for rejected, confidence in ((0.05, 0.95), (0.05, 0.95), (None, 0.9), (0.1, 0.85)):
        assert charge(tmp_path, KINDS, PHOTOS, [0.02], rejected).claimed == pytest.approx(confidence)
    charge(tmp_path, KINDS, PHOTOS, [0.03])
    with pytest.raises(
        ConfigError, match=r"0\.02,--good-rejected 0\.05; 0\.02; 0\.02,--good-rejected 0\.1; 0\.03; take"
    ):
        charge(tmp_path, KINDS, PHOTOS, [0.04])


def test_other_photos_start_anew(tmp_path):
    for alpha in (0.02, 0.03):
        charge(tmp_path, KINDS, PHOTOS, [alpha])
    assert charge(tmp_path, KINDS, OTHERS, [0.04]).claimed == 0.95


def test_a_bound_that_so_few_parts_can_never_show_costs_nothing(tmp_path):
    with pytest.raises(EngineError, match=r"0\.10% false accepts can't be shown: that needs 2995 faulty"):
        charge(tmp_path, KINDS, PHOTOS, [0.001])
    assert charge(tmp_path, KINDS, PHOTOS, [0.02]).claimed == 0.95


@pytest.mark.parametrize("text", ["[]", '{"x": [1]}', '{"x": [["a"]]}', "{"])
def test_a_record_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "calibrations.json").write_text(text)
    with pytest.raises(ConfigError, match=r"calibrations\.json"):
        charge(tmp_path, KINDS, PHOTOS, [0.02])
