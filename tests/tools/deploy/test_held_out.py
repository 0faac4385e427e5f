"""The test parts can contradict the guarantee, and say so; they do not when it holds."""

import numpy as np
import pytest
from scipy import stats

from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import calibrate
from inspectd_tools.deploy.held_out import check_guarantee


def drawn(seed: int, faulty: float = 8, unknown: float = 8, n: int = 400) -> ByKind:
    """Beta(1, b): the smaller b is, the more of them look good."""
    rng = np.random.default_rng(seed)

    def draw(b: float) -> np.ndarray:
        return rng.beta(1, b, n).astype(np.float32)

    return ByKind(rng.beta(9, 1, n).astype(np.float32), {"crooked": draw(faulty)}, {"unknown_oil": draw(unknown)})


CALIBRATION = drawn(0)
THRESHOLD = calibrate(CALIBRATION, "0" * 64, 0.02)


def test_parts_drawn_alike_agree():
    bound, alike = check_guarantee(CALIBRATION, drawn(1), THRESHOLD)
    assert bound.holds
    assert bound.sentence.startswith("The test agrees with the bound of 2.00%: ")
    assert alike.holds
    assert alike.sentence.startswith("No difference between calibration and test parts was found (Kolmogorov-Smirnov")


@pytest.mark.parametrize("side", ["faulty", "unknown"])
def test_a_line_with_worse_parts_is_seen(side):
    bound, alike = check_guarantee(CALIBRATION, drawn(1, **{side: 2}), THRESHOLD)
    assert not bound.holds
    assert f"too many {side} ones for a bound of 2.00%" in bound.sentence
    assert not alike.holds
    assert f"{side} ones have other certainties" in alike.sentence
    for check in (bound, alike):
        assert check.sentence.startswith("WARNING: ")
        assert "docs/training/threshold.md" in check.sentence


def test_errors_far_above_alpha_contradict_the_bound_though_both_sets_are_alike():
    """A threshold that was not chosen by the rule."""
    lax = THRESHOLD.model_copy(update={"value": 0.1})
    bound, alike = check_guarantee(CALIBRATION, drawn(1), lax)
    assert not bound.holds
    assert alike.holds


def test_its_p_is_that_of_the_binomial_test():
    test = ByKind(np.ones(9, np.float32), {}, {"unknown_oil": np.repeat([1, 0], [5, 95]).astype(np.float32)})
    p = stats.binomtest(5, 100, 0.02, alternative="greater").pvalue
    bound, _ = check_guarantee(CALIBRATION, test, THRESHOLD)
    assert f"5 of 100 unknown test parts pass (exact binomial test, unknown p = {p:.2g})" in bound.sentence


def test_without_bad_test_parts_the_bound_is_not_tested():
    bound, _ = check_guarantee(CALIBRATION, ByKind(CALIBRATION.good, {}, {}), THRESHOLD)
    assert bound.holds
    assert bound.sentence == "The bound was not tested: there is no faulty and no unknown test part."


def test_alike_parts_are_warned_of_in_at_most_5_percent_of_the_builds():
    warned = np.zeros(2)
    for seed in range(100):
        calibration = drawn(2 * seed, n=150)
        checks = check_guarantee(calibration, drawn(2 * seed + 1, n=150), calibrate(calibration, "0" * 64, 0.02))
        warned += [not check.holds for check in checks]
    assert (warned <= stats.binom.ppf(0.999, 100, 0.05)).all()
