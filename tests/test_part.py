import pytest

from inspectd.part import (
    INSPECTED,
    TEXT_FAULTS,
    TEXT_NOT_EXPECTED,
    Fault,
    FieldCheck,
    Missed,
    MissedReason,
    Pass,
    Scores,
    Uncertain,
    instead_of_pass,
    words,
)

SCORES = Scores(("good", "crooked"), (0.2, 0.9))


def field(reason):
    return FieldCheck("date", reason, ("25.11.2026",), "date", "24.11.2026", -7.5, (30, 40, 9, 20))


@pytest.mark.parametrize(
    ("verdict", "written", "label"),
    [
        (Pass(SCORES), ("pass", None, "crooked"), "pass"),
        (Fault(SCORES), ("fault", None, "crooked"), "crooked"),
        (Uncertain(SCORES), ("uncertain", None, "crooked"), "uncertain"),
        *((Fault(SCORES, field(reason)), ("fault", reason, "crooked"), reason) for reason in TEXT_FAULTS),
        (
            Uncertain(SCORES, text=field(TEXT_NOT_EXPECTED)),
            ("uncertain", TEXT_NOT_EXPECTED, "crooked"),
            TEXT_NOT_EXPECTED,
        ),
        *((Missed(reason), ("missed", reason.value, None), reason.value) for reason in MissedReason),
    ],
)
def test_each_verdict_has_one_word_for_everybody(verdict, written, label):
    said = words(verdict)
    assert (said.verdict, said.reason, said.predicted) == written
    assert said.label == label


def test_an_inspected_part_is_passed_faulty_or_uncertain():
    assert INSPECTED == ("pass", "fault", "uncertain")


def test_a_pass_that_was_not_let_through_was_too_late():
    assert instead_of_pass(was_let_through=True) is None
    assert instead_of_pass(was_let_through=False) == Missed(MissedReason.LATE)
