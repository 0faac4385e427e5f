"""A cap on the good parts that are rejected: the bound is what the parts show at the lower threshold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.binomial import upper_bound
from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import calibrate, choose_threshold, choose_within, usual_alpha
from inspectd_tools.data.images import Images
from inspectd_tools.deploy.calibration import Calibration
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.threshold_report import cap_warnings, summary
from tests.learning.test_threshold import pool

VALUES = st.lists(st.floats(0, 0.984375, width=32), min_size=1, max_size=40).map(
    lambda values: np.array(values, np.float32)
)
SHARE = 0.05


@given(VALUES, VALUES, VALUES, st.floats(0.01, 0.99))
def test_the_threshold_rejects_no_more_good_parts_or_is_the_one_for_the_bound(good, faulty, unknown, share):
    kinds = ByKind(good, {"crooked": faulty}, {"unknown_oil": unknown})
    alpha = usual_alpha(kinds)
    threshold, shown = choose_within(kinds, alpha, 0.95, rejected=share)
    possible = good[good > 0]
    assert (possible < threshold).sum() <= share * len(possible)
    strict = choose_threshold(faulty, unknown, alpha)
    if threshold == strict:
        assert shown == alpha
    else:
        assert threshold < strict
        assert shown == max(alpha, *(upper_bound(int((v >= threshold).sum()), len(v)) for v in (faulty, unknown)))
        assert (possible <= np.float32(threshold)).sum() > share * len(possible)


def test_good_parts_that_can_not_pass_do_not_lower_the_threshold():
    kinds = ByKind(
        np.array([0] * 20 + [0.6] * 20, np.float32), {"crooked": np.linspace(0, 0.7, 20, dtype=np.float32)}, {}
    )
    assert choose_within(kinds, 0.14, 0.95, rejected=SHARE)[0] == np.float32(0.6)


def test_parts_just_below_the_cap_count_as_passing():
    """Another runtime can move them above it."""
    kinds = ByKind(np.full(20, 0.5, np.float32), {"crooked": np.array([0.499, 0.6] + [0] * 18, np.float32)}, {})
    assert choose_within(kinds, 0.14, 0.95, rejected=SHARE, margin=0.002) == (0.5, upper_bound(2, 20))
    assert calibrate(kinds, "0" * 64, 0.14, margin=0.002, rejected=SHARE).false_accepts["crooked"].passed == 2


def test_the_bounds_by_kind_hold_with_a_cap_that_decides_in_some_draws():
    everything, rng = pool(), np.random.default_rng(2)
    broken, decided = dict.fromkeys([*everything.faulty, "any"], 0), 0
    for _ in range(300):
        faulty = {name: rng.choice(values, 30, replace=False) for name, values in everything.faulty.items()}
        kinds = ByKind(rng.beta(3, 1, 20).astype(np.float32), faulty, {})
        threshold = calibrate(kinds, "0" * 64, usual_alpha(kinds), rejected=SHARE)
        decided += threshold.alpha > usual_alpha(kinds)
        passes = {name: (values >= threshold.value).mean() for name, values in everything.faulty.items()}
        for name, share in passes.items():
            broken[name] += share > threshold.false_accepts[name].bound
        broken["any"] += np.mean(list(passes.values())) > threshold.alpha
    assert 30 < decided < 270
    for name, count in broken.items():
        assert count <= 300 * 0.05 + 11, name


def capped(faulty, rejected=SHARE):
    """20 good parts with the certainties 0.525, 0.55, ..., 1, and 20 faulty ones."""
    good = np.linspace(0.525, 1, 20)
    certainty = np.concatenate([good, faulty])
    n = len(certainty)
    labels, digests = np.repeat([1, 0], [20, n - 20]), tuple(map(str, range(n)))
    images = Images(tuple(map(Path, digests)), np.zeros((n, 1, 1, 1), np.uint8), labels, digests)
    judged = Judged(
        images, np.arange(n, dtype=np.int32), ("crooked", "no_fail"), np.stack([1 - certainty, certainty], 1)
    )
    return Calibration(judged, Product, 0.14, rejected=rejected)


class Product:
    classes, pass_class, input = ("crooked", "no_fail"), "no_fail", None


def test_the_warning_says_what_the_cap_costs_and_what_photos_would_buy():
    calibration = capped(np.r_[0.7, 0.6, np.full(18, 0.1)])
    threshold = calibration.threshold(calibration.judged, "fp32")
    assert f"{threshold.alpha:.1%}" == "28.3%"
    assert threshold.false_reject_rate == SHARE
    assert "at most 28.26% of the faulty labels pass" in summary(threshold)
    (warning,) = cap_warnings(calibration, threshold)
    assert "up to 28.3% of the faulty or of the unknown labels pass, with 95% confidence" in warning
    assert "crooked passes most often (2 of 20)" in warning
    assert "A bound of 14.0% needs the threshold 0.7020, which rejects 40.0% of the good parts" in warning
    assert f"would bring the bound to {upper_bound(7, 70):.1%}" in warning


def test_faults_that_look_perfectly_good_no_longer_prevent_an_engine():
    calibration = capped(np.r_[1.0, np.full(19, 0.1)])
    (warning,) = cap_warnings(calibration, calibration.threshold(calibration.judged, "fp32"))
    assert "No threshold has a lower bound" in warning


@pytest.mark.parametrize("rejected", [None, SHARE])
def test_without_need_the_cap_changes_nothing(rejected):
    calibration = capped(np.full(20, 0.3), rejected)
    threshold = calibration.threshold(calibration.judged, "fp32")
    assert (threshold.alpha, cap_warnings(calibration, threshold)) == (0.14, [])
    assert threshold.value == pytest.approx(0.525, abs=0.002)
