"""The threshold's promise: tried on random draws, where a wrong bound shows."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.errors import EngineError
from inspectd.interval import interval, upper_bound
from inspectd_tools.training import calibration
from inspectd_tools.training.calibration import (
    Groups,
    broken_promises,
    calibrate,
    choose_threshold,
    images_needed,
    most_allowed,
    pass_certainty,
    promise,
    usual_alpha,
)
from inspectd_tools.training.tradeoff import write_tradeoff

DRAWS = 1000
CERTAINTIES = st.lists(st.floats(0, 1, width=32), max_size=200).map(lambda values: np.array(values, np.float32))


def pool(n: int = 20000) -> Groups:
    """Labels of a line on which a threshold has to be found: the best faulty and unknown ones look like bad good ones."""
    rng = np.random.default_rng(1)
    return Groups(
        good=rng.beta(9, 1, n).astype(np.float32),
        faulty={name: rng.beta(1, b, n // 2).astype(np.float32) for name, b in (("crooked", 8), ("half", 12))},
        unknown={
            name: rng.beta(1, b, n // 4).astype(np.float32) for name, b in (("unknown_oil", 3), ("unknown_blank", 9))
        },
    )


@pytest.mark.parametrize(("n_faulty", "n_unknown", "alpha"), [(300, 300, 0.01), (149, 1000, 0.02), (1000, 400, 0.05)])
def test_of_1000_calibration_sets_at_most_5_percent_break_the_promise(n_faulty, n_unknown, alpha):
    broken = broken_promises(pool(), n_faulty, n_unknown, alpha, DRAWS)
    assert broken <= DRAWS * 0.05
    assert broken >= DRAWS * 0.01, "so careful a bound costs good labels"


def test_a_bound_that_is_none_breaks_it(monkeypatch):
    """The rate seen instead of what it may be: the draws must tell."""
    monkeypatch.setattr(calibration, "upper_bound", lambda errors, n, confidence: errors / n)
    most_allowed.cache_clear()
    try:
        assert broken_promises(pool(), 300, 300, 0.01, DRAWS) > DRAWS * 0.2
    finally:
        most_allowed.cache_clear()


def test_the_bounds_by_kind_hold_as_often_as_they_say():
    """Each kind's bound against its share of all labels there are, over calibration sets drawn at random."""
    everything, rng = pool(), np.random.default_rng(2)
    kinds = everything.faulty | everything.unknown
    broken = dict.fromkeys([*kinds, "all"], 0)

    def draw(side):
        return {name: rng.choice(values, 200, replace=False) for name, values in side.items()}

    for _ in range(300):
        threshold = calibrate(
            Groups(everything.good[:100], draw(everything.faulty), draw(everything.unknown)), "0" * 64, 0.02
        )
        shares = {name: (values >= threshold.value).mean() for name, values in kinds.items()}
        for name, share in shares.items():
            broken[name] += share > threshold.false_accepts[name].bound
        broken["all"] += np.mean(list(shares.values())) > threshold.false_accept_bound
    for name, count in broken.items():
        assert count <= 300 * 0.05 + 11, name  # three standard deviations of a rate of 5 %


@settings(max_examples=200)
@given(CERTAINTIES, CERTAINTIES, st.floats(0.01, 0.5))
def test_a_threshold_passes_no_faulty_image_and_keeps_the_bound_on_unknowns(faulty, unknown, alpha):
    try:
        threshold = choose_threshold(faulty, unknown, alpha)
    except EngineError as error:
        if "can't be shown" in str(error):
            assert any(len(group) and upper_bound(0, len(group)) > alpha for group in (faulty, unknown))
        else:
            assert (faulty == 1).any() or upper_bound(int((unknown == 1).sum()), len(unknown)) > alpha
        return
    assert not (faulty >= threshold).any()
    passed = int((unknown >= threshold).sum())
    assert passed == 0 or upper_bound(passed, len(unknown)) <= alpha
    lower = np.nextafter(np.float32(threshold), np.float32(0)) - np.float32(0.0011)
    one_more = int((unknown >= lower).sum())
    assert threshold == 0 or (faulty >= lower).any() or upper_bound(one_more, len(unknown)) > alpha


def test_a_network_certain_of_everything_is_no_engine():
    with pytest.raises(EngineError, match="3 faulty and 0 unknown calibration images have certainty 1"):
        choose_threshold(np.array([1] * 3 + [0] * 97, np.float32), np.zeros(100, np.float32), 0.05)


def test_without_good_images_there_is_no_threshold():
    with pytest.raises(EngineError, match="no good calibration image"):
        calibrate(Groups(np.empty(0, np.float32), {"crooked": np.zeros(60, np.float32)}, {}), "0" * 64, 0.05)


def test_the_number_of_images_needed_is_the_smallest():
    for alpha in (0.5, 0.05, 0.0025):
        n = images_needed(alpha)
        assert upper_bound(0, n) <= alpha < upper_bound(0, n - 1)
        choose_threshold(np.zeros(n, np.float32), np.zeros(n, np.float32), alpha)
        with pytest.raises(EngineError, match=f"that needs {n} unknown calibration images, got {n - 1}"):
            choose_threshold(np.zeros(n, np.float32), np.zeros(n - 1, np.float32), alpha)


def test_what_is_recorded_is_what_was_counted():
    groups = Groups(
        np.array([0.95] * 18 + [0.1] * 2, np.float32),
        {"crooked": np.zeros(60, np.float32)},
        {"unknown_oil": np.array([0.9] + [0.2] * 99, np.float32)},
    )
    assert usual_alpha(groups) == upper_bound(0, 60)
    threshold = calibrate(groups, "0" * 64, 0.05)
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
    threshold = calibrate(Groups(good, {"crooked": np.zeros(60, np.float32)}, {}), "0" * 64, 0.05)
    assert threshold.value == good[2]
    assert threshold.false_reject_rate == 2 / 250
    assert "there were no unknown ones" in threshold.method
    assert promise(threshold) == "at most 5.00% of the faulty labels pass, and of unknown ones nobody knows how many"


def test_the_curve_says_what_other_thresholds_would_cost(tmp_path):
    groups = Groups(
        np.linspace(0.5, 1, 50, dtype=np.float32),
        {"crooked": np.zeros(60, np.float32)},
        {"unknown_oil": np.linspace(0, 0.6, 100, dtype=np.float32)},
    )
    threshold = calibrate(groups, "0" * 64, 0.05)
    write_tradeoff(tmp_path, groups, threshold)
    with (tmp_path / "threshold.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    (chosen,) = (row for row in rows if row["threshold"] == pytest.approx(threshold.value, rel=1e-5))
    assert chosen["unknown_passed_at_most"] <= 0.05
    for row in rows:
        passed = int((groups.all_unknown >= row["threshold"] - 1e-6).sum())
        assert row["unknown_passed"] == pytest.approx(passed / 100, abs=0.011)
        assert row["faulty_passed"] <= row["faulty_passed_at_most"]
        assert row["good_rejected_at_least"] <= row["good_rejected"] <= row["good_rejected_at_most"]
    assert [row["unknown_passed"] for row in rows] == sorted((row["unknown_passed"] for row in rows), reverse=True)
    assert (tmp_path / "threshold.png").read_bytes().startswith(b"\x89PNG")


def test_a_tie_between_classes_can_never_pass():
    scores = np.array([[0.9, 0.9], [0.2, 0.9], [0.9, 0.2]], np.float32)
    assert pass_certainty(scores, 1).tolist() == pytest.approx([0, 0.9, 0])
