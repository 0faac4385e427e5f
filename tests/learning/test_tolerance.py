"""How far a runtime may differ: never so far that another calibration part would pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from inspectd.errors import EngineError
from inspectd.inference.manifest import ARITHMETICS
from inspectd.learning.by_kind import ByKind
from inspectd.learning.threshold import calibrate
from inspectd.learning.tolerance import golden_tolerance, least_margin

CERTAINTIES = st.lists(st.floats(0, 1, width=32), min_size=59, max_size=130).map(lambda v: np.array(v, np.float32))
GOOD = np.linspace(0.5, 1, 800, dtype=np.float32)


@settings(max_examples=60)
@given(CERTAINTIES, CERTAINTIES, st.sampled_from(ARITHMETICS))
def test_a_runtime_that_moves_all_scores_by_the_tolerance_lets_no_other_part_pass(faulty, unknown, arithmetic):
    kinds = ByKind(GOOD, {"crooked": faulty}, {"unknown_oil": unknown})
    try:
        threshold = calibrate(kinds, "0" * 64, 0.1, margin=least_margin(arithmetic))
    except EngineError:
        return
    tolerance = golden_tolerance(kinds, threshold.value, arithmetic)
    assert 0.0005 <= tolerance <= 0.02
    for name, values in (("crooked", faulty), ("unknown_oil", unknown)):
        moved = values.astype(np.float64) + 3 * tolerance
        assert (moved >= threshold.value).sum() == threshold.false_accepts[name].passed


def test_with_a_wide_margin_the_tolerance_is_the_largest_and_beside_a_part_the_smallest():
    far = ByKind(GOOD, {"crooked": np.zeros(60, np.float32)}, {"unknown_oil": np.zeros(60, np.float32)})
    assert golden_tolerance(far, 0.5, "fp32") == 0.02
    assert golden_tolerance(far, 0.02, "fp32") == pytest.approx(0.005)
    near = ByKind(GOOD, {"crooked": np.full(60, 0.4999, np.float32)}, {})
    assert golden_tolerance(near, 0.5, "fp32") == 0.0005
    assert golden_tolerance(near, 0.5, "int8") == 0.002


def test_with_a_guard_certainty_alone_still_rejects_some_good_parts():
    """The guard stops all that must not pass, and 8 good parts, which have certainty 0 for that."""
    nothing = np.zeros(60, np.float32)
    stopped = ByKind(np.where(np.arange(800) < 8, 0, GOOD), {"crooked": nothing}, {"unknown_oil": nothing})
    joint = calibrate(stopped, "0" * 64, 0.05, good_alone=GOOD)
    assert joint.value == np.sort(GOOD)[2]  # 0.25 % of 800 are below
    assert joint.false_reject_rate == 0.01
    assert calibrate(stopped, "0" * 64, 0.05).value == pytest.approx(0.001)
    few = GOOD[400:424]
    joint = calibrate(ByKind(few, {"crooked": nothing}, {"unknown_oil": nothing}), "0" * 64, 0.05, good_alone=few)
    assert joint.value == pytest.approx(float(few.min()) ** 2)


def test_without_unknown_parts_the_guard_does_not_lower_what_certainty_asks_for():
    nothing = np.zeros(60, np.float32)
    stopped = ByKind(np.where(np.arange(800) < 8, 0, GOOD), {"crooked": nothing}, {})
    assert calibrate(stopped, "0" * 64, 0.05, good_alone=GOOD).value == np.sort(GOOD)[8]
