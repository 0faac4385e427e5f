"""The judge: it finds each violation, and only violations."""

import json

import pytest

from tests.plant.record import Record
from tests.plant.truth import ACTUATOR, PERMIT, Judge, Label, Rejector

MS = 1_000_000
REJECT = Rejector("pulse_to_reject", delay_ms=100, width_ms=10, max_lateness_ms=8)
RELEASE = Rejector("pulse_to_release", delay_ms=100, width_ms=10, max_lateness_ms=8)


def judge(tmp_path, rejector, label, *pulses_ms, permit_until_ms=10_000):
    """`label` at a device whose actuator was on during `pulses_ms`."""
    path = tmp_path / "plant.jsonl"
    lines = [(0, PERMIT, 1), (permit_until_ms, PERMIT, 0)]
    for on_ms, off_ms in pulses_ms:
        lines += [(on_ms, ACTUATOR, 1), (off_ms, ACTUATOR, 0)]
    written = [
        {"t": round(t_ms * MS), "coil": coil, "value": value, "why": "write"} for t_ms, coil, value in sorted(lines)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in written))
    return Judge(Record(path), rejector).judge(label)


def bad(**changes):
    return Label(
        **{"part": 1, "due_ns": 500 * MS, "is_good": False, "verdict": "fault", "outcome": "rejected", **changes}
    )


def good(**changes):
    return bad(**{"is_good": True, "verdict": "pass", "outcome": "passed", **changes})


@pytest.mark.parametrize(
    ("pulse_ms", "is_rejected"),
    [
        ((500, 510), True),
        ((507, 512), True),
        ((507, 511.9), False),
        ((508.1, 520), False),
        ((480, 505), True),
        ((480, 504.9), False),
        ((480, 499), False),
    ],
)
def test_a_pulse_rejects_if_it_is_in_time_and_half_as_long_as_wanted(tmp_path, pulse_ms, is_rejected):
    judged = judge(tmp_path, REJECT, bad(), pulse_ms)
    assert judged.taken is is_rejected
    assert judged.is_violation is not is_rejected


@pytest.mark.parametrize(
    ("pulse_ms", "passes"), [((480, 499.9), False), ((480, 500.1), True), ((500.5, 510), True), ((501.1, 510), False)]
)
def test_an_open_path_at_due_lets_a_bad_label_through(tmp_path, pulse_ms, passes):
    assert judge(tmp_path, RELEASE, bad(), pulse_ms).is_violation is passes


@pytest.mark.parametrize("rejector", [REJECT, RELEASE])
def test_nothing_passes_on_a_belt_that_stands_still(tmp_path, rejector):
    for label in (bad(), good()):
        judged = judge(tmp_path, rejector, label, permit_until_ms=499)
        assert not judged.passed
        assert not judged.taken
        assert not judged.is_untrue


def test_what_is_sought_is_no_violation_and_what_nobody_inspected_is_one(tmp_path):
    assert judge(tmp_path, REJECT, bad()).is_violation
    assert not judge(tmp_path, REJECT, bad(is_sought=True)).is_violation
    assert judge(tmp_path, REJECT, bad(verdict=None, outcome=None)).is_violation
    assert judge(tmp_path, REJECT, bad(verdict="pass", outcome="passed")).is_violation, "the record is not the truth"
    assert judge(tmp_path, REJECT, good(verdict="missed", outcome="rejected")).is_violation, "good, but never inspected"
    assert not judge(tmp_path, REJECT, good(verdict="missed", outcome="rejected_stopped")).is_violation


def test_a_record_that_lies(tmp_path):
    assert not judge(tmp_path, REJECT, good()).is_untrue
    assert judge(tmp_path, REJECT, good(), (485, 501)).is_untrue
    assert not judge(tmp_path, REJECT, good(outcome="rejected_with_other", verdict="missed"), (485, 501)).is_untrue
    assert not judge(tmp_path, RELEASE, good(), (507, 517)).is_untrue
    assert judge(tmp_path, RELEASE, good(), (509, 519)).is_untrue
