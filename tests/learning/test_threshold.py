"""The threshold and its bounds, counted on parts."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inspectd.binomial import interval, upper_bound
from inspectd.errors import EngineError
from inspectd.learning.by_kind import ByKind
from inspectd.learning.rates import Rate, false_rejects, pass_certainty, rates
from inspectd.learning.threshold import (
    calibrate,
    choose_threshold,
    most_allowed,
    parts_needed,
    usual_alpha,
)
from inspectd_tools.deploy.threshold_curve import write_tradeoff
from inspectd_tools.deploy.threshold_report import guarantee

DRAWS = 1000
CERTAINTIES = st.lists(st.floats(0, 1, width=32), max_size=200).map(lambda values: np.array(values, np.float32))


def pool(n: int = 20000) -> ByKind:
    """Labels of a line on which a threshold has to be found: the best faulty and unknown ones look like bad good ones."""
    rng = np.random.default_rng(1)
    return ByKind(
        good=rng.beta(9, 1, n).astype(np.float32),
        faulty={name: rng.beta(1, b, n // 2).astype(np.float32) for name, b in (("crooked", 8), ("half", 12))},
        unknown={
            name: rng.beta(1, b, n // 4).astype(np.float32) for name, b in (("unknown_oil", 3), ("unknown_blank", 9))
        },
    )


def test_the_bounds_by_kind_hold_as_often_as_they_say():
    """Each kind's bound against its share of all labels there are, over calibration sets drawn at random."""
    everything, rng = pool(), np.random.default_rng(2)
    kinds = everything.faulty | everything.unknown
    broken = dict.fromkeys([*kinds, "all"], 0)

    def draw(side):
        return {name: rng.choice(values, 200, replace=False) for name, values in side.items()}

    for _ in range(300):
        threshold = calibrate(
            ByKind(everything.good[:100], draw(everything.faulty), draw(everything.unknown)), "0" * 64, 0.02
        )
        shares = {name: (values >= threshold.value).mean() for name, values in kinds.items()}
        for name, share in shares.items():
            broken[name] += share > threshold.false_accepts[name].bound
        broken["all"] += np.mean(list(shares.values())) > threshold.false_accept_bound
    for name, count in broken.items():
        assert count <= 300 * 0.05 + 11, name  # three standard deviations of a rate of 5 %


@settings(max_examples=200)
@given(CERTAINTIES, CERTAINTIES, st.floats(0.01, 0.5))
def test_a_threshold_is_the_lowest_that_keeps_the_bound_on_both_sides(faulty, unknown, alpha):
    def is_kept(threshold: float) -> bool:
        passed = [(int((values >= threshold).sum()), len(values)) for values in (faulty, unknown)]
        return all(errors == 0 or upper_bound(errors, n) <= alpha for errors, n in passed)

    try:
        threshold = choose_threshold(faulty, unknown, alpha)
    except EngineError as error:
        if "can't be shown" in str(error):
            assert any(len(values) and upper_bound(0, len(values)) > alpha for values in (faulty, unknown))
        else:
            assert not is_kept(1)
        return
    assert is_kept(threshold)
    lower = np.nextafter(np.float32(threshold), np.float32(0)) - np.float32(0.0011)
    assert threshold == 0 or not is_kept(lower)


def test_one_mislabelled_photo_of_many_does_not_choose_the_threshold():
    """A good label among 5000 faulty ones."""
    good, faulty = np.linspace(0.9, 0.999, 1000, dtype=np.float32), np.linspace(0, 0.5, 5000, dtype=np.float32)
    faulty[0] = 0.998
    threshold = calibrate(ByKind(good, {"crooked": faulty}, {"unknown_oil": faulty[1:] / 2}), "0" * 64, 0.0025)
    assert threshold.false_reject_rate == 0
    assert threshold.false_accepts["crooked"].passed > 1
    assert threshold.false_accepts["crooked"].passed == most_allowed(5000, 0.0025)


def test_a_network_certain_of_everything_is_no_engine():
    with pytest.raises(EngineError, match="certainty 1 to 3 faulty and 0 unknown calibration parts"):
        choose_threshold(np.array([1] * 3 + [0] * 97, np.float32), np.zeros(100, np.float32), 0.05)


def test_without_good_images_there_is_no_threshold():
    with pytest.raises(EngineError, match=r"^there is no good calibration part"):
        calibrate(ByKind(np.empty(0, np.float32), {"crooked": np.zeros(60, np.float32)}, {}), "0" * 64, 0.05)


def test_the_number_of_parts_needed_is_the_smallest():
    for alpha in (0.5, 0.05, 0.0025):
        n = parts_needed(alpha)
        assert upper_bound(0, n) <= alpha < upper_bound(0, n - 1)
        choose_threshold(np.zeros(n, np.float32), np.zeros(n, np.float32), alpha)
        with pytest.raises(EngineError, match=f"that needs {n} unknown calibration parts, but there are {n - 1}"):
            choose_threshold(np.zeros(n, np.float32), np.zeros(n - 1, np.float32), alpha)


def test_what_is_recorded_is_what_was_counted():
    kinds = ByKind(
        np.array([0.95] * 18 + [0.1] * 2, np.float32),
        {"crooked": np.zeros(60, np.float32)},
        {"unknown_oil": np.array([0.9] + [0.2] * 99, np.float32)},
    )
    assert usual_alpha(kinds) == upper_bound(0, 60)
    threshold = calibrate(kinds, "0" * 64, 0.05)
    assert threshold.value == pytest.approx(0.2, abs=0.0011)
    assert threshold.value > 0.2
    assert (threshold.false_accepts["crooked"].passed, threshold.false_accepts["crooked"].n) == (0, 60)
    assert threshold.false_accepts["unknown_oil"].passed == 1
    # 1 of 100 was allowed to pass, so a bound must hold whether 0 or 1 did
    assert threshold.false_accepts["unknown_oil"].bound == pytest.approx(upper_bound(1, 100, 0.975))
    assert threshold.false_accept_bound == pytest.approx(upper_bound(1, 160, 0.975))
    assert threshold.false_reject_rate == 0.1
    assert threshold.false_reject_interval == pytest.approx(interval(2, 20))


def test_without_unknown_images_good_ones_say_how_strict_it_can_be():
    """A network that takes every fault for a fault asks for no certainty at all."""
    good = np.linspace(0.4, 1, 250, dtype=np.float32)
    threshold = calibrate(ByKind(good, {"crooked": np.zeros(60, np.float32)}, {}), "0" * 64, 0.05)
    assert threshold.value == good[2]
    assert threshold.false_reject_rate == 2 / 250
    assert "there were no unknown ones" in threshold.method
    assert guarantee(threshold) == (
        "at most 5.00% of the faulty labels pass; how many unknown ones pass was not measured"
    )


def test_the_curve_says_what_other_thresholds_would_cost(tmp_path):
    kinds = ByKind(
        np.linspace(0.5, 1, 50, dtype=np.float32),
        {"crooked": np.zeros(60, np.float32)},
        {"unknown_oil": np.linspace(0, 0.6, 100, dtype=np.float32)},
    )
    threshold = calibrate(kinds, "0" * 64, 0.05)
    write_tradeoff(tmp_path, kinds, threshold)
    with (tmp_path / "threshold.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    (chosen,) = (row for row in rows if row["threshold"] == pytest.approx(threshold.value, rel=1e-5))
    assert chosen["unknown_passed_at_most"] <= 0.05
    for row in rows:
        passed = int((kinds.all_unknown >= row["threshold"] - 1e-6).sum())
        assert row["unknown_passed"] == pytest.approx(passed / 100, abs=0.011)
        assert row["faulty_passed"] <= row["faulty_passed_at_most"]
        assert row["good_rejected_at_least"] <= row["good_rejected"] <= row["good_rejected_at_most"]
    assert [row["unknown_passed"] for row in rows] == sorted((row["unknown_passed"] for row in rows), reverse=True)
    assert (tmp_path / "threshold.png").read_bytes().startswith(b"\x89PNG")


def test_a_tie_between_classes_can_never_pass():
    scores = np.array([[0.9, 0.9], [0.2, 0.9], [0.9, 0.2]], np.float32)
    assert pass_certainty(scores, 1).tolist() == pytest.approx([0, 0.9, 0])


def certainties(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_only_the_pass_class_alone_at_the_top_passes():
    scores = np.array([[0.1, 0.7, 0.6], [0.8, 0.7, 0.1], [0.7, 0.7, 0.1], [0.1, 0.2, 0.3]], np.float32)
    assert pass_certainty(scores, 0).tolist() == pytest.approx([0, 0.8, 0, 0])
    assert pass_certainty(scores, 1).tolist() == pytest.approx([0.7, 0, 0, 0])
    assert pass_certainty(scores, 2).tolist() == pytest.approx([0, 0, 0, 0.3])


def test_rates_count_what_passes_at_the_threshold_itself():
    seen = rates({"crooked": certainties(0.5, 0.49, 0.51), "half": certainties()}, 0.5)
    assert seen == {"crooked": Rate(2, 3), "half": Rate(0, 0)}
    assert false_rejects(certainties(0.5, 0.49, 0.51), 0.5) == Rate(1, 3)


def test_a_rate_says_what_was_counted_and_how_sure_that_is():
    assert str(Rate(0, 0)) == "none tried"
    assert math.isnan(Rate(0, 0).share)
    low, high = stats.binomtest(3, 20).proportion_ci(0.95, method="exact")
    assert Rate(3, 20).interval == pytest.approx((low, high))
    assert str(Rate(3, 20)) == "3 of 20 (15.00%, 95 % interval 3.21% to 37.89%)"


@settings(max_examples=60)
@given(st.integers(0, 150), st.floats(0.001, 0.6))
def test_the_errors_allowed_are_the_most_that_the_beta_distribution_allows(n, alpha):
    errors = np.arange(n)
    bounds = stats.beta.ppf(0.95, errors + 1, n - errors)
    if np.abs(bounds - alpha).min(initial=1) < 1e-9:
        return  # either answer is right within rounding
    assert most_allowed(n, alpha) == max(0, int((bounds <= alpha).sum()) - 1)


@pytest.mark.parametrize(("errors", "n"), [(0, 60), (1, 100), (7, 150)])
def test_a_bound_that_is_just_kept_is_allowed(errors, n):
    assert most_allowed(n, upper_bound(errors, n)) == errors
    assert most_allowed(n, np.nextafter(upper_bound(errors, n), 0)) == max(0, errors - 1)


@pytest.mark.parametrize("n", [20, 60, 59, 1200])
def test_the_usual_bound_is_the_smallest_that_so_few_images_can_show(n):
    few = ByKind(certainties(0.9), {"crooked": np.zeros(n, np.float32)}, {"unknown_oil": np.zeros(2000, np.float32)})
    assert usual_alpha(few) == pytest.approx(max(0.0025, 1 - 0.05 ** (1 / n)))
    assert usual_alpha(ByKind(few.good, few.unknown, few.faulty)) == usual_alpha(few)
    assert usual_alpha(ByKind(few.good, few.faulty, {})) == usual_alpha(few)
    # images that show just this much are enough
    assert choose_threshold(few.all_faulty, few.all_unknown, usual_alpha(few)) > 0


def test_without_images_the_usual_bound_is_a_quarter_of_a_percent():
    assert usual_alpha(ByKind(certainties(0.9), {}, {})) == 0.0025


@pytest.mark.parametrize("name", ["faulty", "unknown"])
def test_too_few_images_are_named(name):
    kinds = {"faulty": np.zeros(100, np.float32), "unknown": np.zeros(100, np.float32), name: np.zeros(58, np.float32)}
    message = f"at most 5.00% false accepts can't be shown: that needs 59 {name} calibration parts, but there are 58; "
    with pytest.raises(EngineError, match=f"^{message}"):
        choose_threshold(kinds["faulty"], kinds["unknown"], 0.05)


def test_no_threshold_is_zero_though_nothing_asks_for_more():
    """A certainty of 0 is that of an image which another class explains as well."""
    assert calibrate(ByKind(certainties(0, 0.5), {}, {}), "0" * 64, 0.05).value == pytest.approx(0.001)


def test_a_group_that_is_absent_asks_for_nothing():
    zeros, some = np.zeros(60, np.float32), np.full(60, 0.3, np.float32)
    assert choose_threshold(certainties(), certainties(), 0.05) == 0
    assert choose_threshold(some, certainties(), 0.05) == pytest.approx(0.301)
    assert choose_threshold(certainties(), some, 0.05) == pytest.approx(0.301)
    assert choose_threshold(zeros, zeros, 0.05) == pytest.approx(0.001)


def test_certainties_of_1_are_counted_in_each_group():
    unknown = certainties(*[1] * 4, *[0] * 96)
    with pytest.raises(
        EngineError, match=r"keeps false accepts to at most 5.00%: .* certainty 1 to 2 faulty and 4 unknown"
    ):
        choose_threshold(certainties(*[1] * 2, *[0] * 98), unknown, 0.05)
    with pytest.raises(EngineError, match="0 faulty and 4 unknown"):
        choose_threshold(np.zeros(100, np.float32), unknown, 0.05)


@pytest.mark.parametrize(
    ("n_unknown", "alpha", "allowed"), [(60, 0.05, 0), (100, 0.05, 1), (200, 0.05, 4), (500, 0.1, 38)]
)
def test_each_bound_is_corrected_for_the_numbers_that_could_have_passed(n_unknown, alpha, allowed):
    """Certainties that lie closer than the grid, so that the threshold is one of them: it passes itself."""
    unknown = (0.5 + np.arange(n_unknown) * 1e-6).astype(np.float32)
    threshold = calibrate(
        ByKind(certainties(0.9, 0.2), {"crooked": np.full(90, 0.1, np.float32)}, {"unknown_oil": unknown}),
        "f" * 64,
        alpha,
    )
    assert threshold.value == pytest.approx(unknown[n_unknown - allowed] if allowed else 0.501)
    assert threshold.false_accepts["unknown_oil"].passed == allowed
    confidence = 1 - 0.05 / (allowed + 1)
    assert threshold.false_accepts["unknown_oil"].bound == pytest.approx(
        stats.beta.ppf(confidence, allowed + 1, n_unknown - allowed)
    )
    of_faulty = most_allowed(90, alpha)
    assert threshold.false_accepts["crooked"].bound == pytest.approx(stats.beta.ppf(1 - 0.05 / (of_faulty + 1), 1, 90))
    assert threshold.false_accept_bound == pytest.approx(
        stats.beta.ppf(1 - 0.05 / (allowed + of_faulty + 1), allowed + 1, 90 + n_unknown - allowed)
    )
    assert (threshold.n_good, threshold.n_bad) == (2, 90 + n_unknown)
    assert (threshold.alpha, threshold.confidence, threshold.calibration_fingerprint) == (alpha, 0.95, "f" * 64)
    assert threshold.false_reject_rate == 0.5
    assert guarantee(threshold) == (
        f"at most {alpha:.2%} of the faulty labels, and at most {alpha:.2%} of the unknown ones, pass"
    )


@pytest.mark.parametrize(("n", "given_up"), [(1, 0), (99, 0), (100, 1), (199, 1), (200, 2), (1000, 10)])
def test_where_no_unknown_image_is_given_1_percent_of_the_good_ones_are_given_up(n, given_up):
    good = np.linspace(0.4, 1, n, dtype=np.float32)
    threshold = calibrate(ByKind(good, {"crooked": np.zeros(60, np.float32)}, {}), "0" * 64, 0.05)
    assert threshold.value == good[given_up]
    assert threshold.false_reject_rate == given_up / n
    strict = calibrate(ByKind(good, {"crooked": np.full(60, 0.99, np.float32)}, {}), "0" * 64, 0.05)
    assert strict.value == pytest.approx(0.991)


def test_the_method_says_how_the_threshold_was_chosen():
    faulty = {"crooked": np.zeros(60, np.float32)}
    known = calibrate(ByKind(certainties(0.9), faulty, {}), "0" * 64, 0.05)
    assert known.method == (
        "highest threshold that rejects at most 1% of the good calibration parts, as there were no unknown ones; "
        "at most 5.00% of the faulty ones pass (Clopper-Pearson bound)"
    )
    both = calibrate(ByKind(certainties(0.9), faulty, {"unknown_oil": faulty["crooked"]}), "0" * 64, 0.05, "; by hand")
    assert both.method == (
        "lowest threshold at which at most 5.00% of the faulty and of the unknown parts pass (Clopper-Pearson bound), "
        "tried from strict to lax; by hand"
    )
