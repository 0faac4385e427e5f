import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.books import Books
from inspectd.errors import LineFault
from inspectd.part import Fault, Missed, MissedReason, Pass, Scores, Uncertain

SCORES = Scores(("crooked", "good"), (0.2, 0.9))
verdicts = st.sampled_from(
    [Pass(SCORES), Fault(SCORES), Uncertain(SCORES), *(Missed(reason) for reason in MissedReason)]
)


@given(st.lists(st.tuples(verdicts, st.booleans(), st.booleans())))
def test_triggers_are_always_the_sum_of_the_rest(parts):
    books = Books()
    for part, (verdict, is_decided, gate_passes) in enumerate(parts):
        books.trigger(part)
        if is_decided:
            books.decide(part, verdict)
            books.gate_acted(part, passed=gate_passes)
        tally = books.tally()
        assert tally.triggers == part + 1
        assert tally.triggers == tally.passed + tally.rejected + tally.open
    withdrawn = sum(isinstance(verdict, Pass) and decided and not passes for verdict, decided, passes in parts)
    late = sum(verdict == Missed(MissedReason.LATE) and decided for verdict, decided, _ in parts)
    assert books.tally().missed.get("late", 0) == withdrawn + late


def test_a_part_is_decided_once():
    books = Books()
    books.trigger(1)
    books.decide(1, Pass(SCORES))
    with pytest.raises(LineFault, match="part 1 got a verdict but is not open"):
        books.decide(1, Pass(SCORES))
    with pytest.raises(LineFault, match="part 2"):
        books.decide(2, Pass(SCORES))


def test_a_part_is_triggered_once():
    books = Books()
    books.trigger(1)
    with pytest.raises(LineFault, match="twice"):
        books.trigger(1)


def test_a_reject_before_the_verdict_withdraws_nothing_yet():
    books = Books()
    books.trigger(1)
    books.gate_acted(1, passed=False)
    books.decide(1, Pass(SCORES))
    books.gate_acted(1, passed=False)
    assert books.tally().passed == 0
    assert books.tally().missed == {"late": 1}
