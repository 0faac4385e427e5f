from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import LineFault
from inspectd.line.ledger import Books
from inspectd.part import (
    TEXT_NOT_EXPECTED,
    Anomaly,
    Fault,
    FieldCheck,
    Missed,
    MissedReason,
    Pass,
    Scores,
    Uncertain,
    Verdict,
)

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


@given(st.lists(verdicts, max_size=30))
def test_every_verdict_is_counted_under_its_own_name(given_verdicts):
    books = Books()
    for part, verdict in enumerate(given_verdicts):
        books.trigger(part)
        books.decide(part, verdict)
    tally = books.tally()
    assert tally.passed == given_verdicts.count(Pass(SCORES))
    assert tally.faults == Counter("good" for verdict in given_verdicts if isinstance(verdict, Fault))
    assert tally.uncertain == given_verdicts.count(Uncertain(SCORES))
    assert tally.missed == Counter(verdict.reason for verdict in given_verdicts if isinstance(verdict, Missed))


def test_an_anomaly_is_uncertain_and_is_counted_among_these():
    anomaly = Anomaly("print", (0, 0, 1, 1), 1.5)
    tally = books_with(Pass(SCORES), Uncertain(SCORES, anomaly), Uncertain(SCORES), Uncertain(SCORES, anomaly)).tally()
    assert (tally.uncertain, tally.anomalies, tally.rejected) == (3, 2, 3)


def test_texts_that_nobody_announced_are_uncertain_and_wrong_ones_are_faults_of_their_own():
    lot = FieldCheck("lot", TEXT_NOT_EXPECTED, (), "nobody has given a lot", "", None, (9, 8, 90, 20))
    date = FieldCheck("date", "text_wrong", ("25",), "date", "24", -7.5, (9, 8, 90, 20))
    tally = books_with(Uncertain(SCORES, text=lot), Uncertain(SCORES), Fault(SCORES, date), Fault(SCORES)).tally()
    assert (tally.uncertain, tally.not_expected, tally.anomalies) == (2, 1, 0)
    assert tally.faults == {"text_wrong": 1, "good": 1}


LOST_UPDATES = [("_triggers", -1), ("_triggers", 1), ("_passed", -1), ("_passed", 1), ("_uncertain", -1)]


def books_with(*verdicts: Verdict) -> Books:
    """Parts 1, 2, 3... have these verdicts; parts 8 and 9 are open."""
    books = Books()
    for part, verdict in enumerate(verdicts, start=1):
        books.trigger(part)
        books.decide(part, verdict)
    books.trigger(8)
    books.trigger(9)
    return books


@pytest.mark.parametrize(("count", "step"), LOST_UPDATES)
@pytest.mark.parametrize(
    "entry",
    [
        lambda books: books.trigger(10),
        lambda books: books.decide(8, Uncertain(SCORES)),
        lambda books: books.gate_acted(1, passed=False),
    ],
    ids=["trigger", "decide", "withdraw"],
)
def test_a_lost_update_is_noticed_at_the_next_entry(count, step, entry):
    """No caller can do this, but a bug or damaged memory can."""
    books = books_with(Pass(SCORES), Pass(SCORES), Uncertain(SCORES))
    setattr(books, count, getattr(books, count) + step)
    with pytest.raises(LineFault, match=r"the books don't balance: \d triggers, \d closed, \d open"):
        entry(books)


def test_a_pass_taken_for_something_else_is_noticed_though_the_sum_is_right():
    books = books_with(Pass(SCORES), Uncertain(SCORES))
    books._passed, books._uncertain = 0, 2
    with pytest.raises(LineFault, match="don't balance"):
        books.decide(8, Uncertain(SCORES))


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


def test_the_log_writes_reasons_as_words():
    books = Books()
    books.trigger(1)
    books.decide(1, Missed(MissedReason.LATE))
    assert repr(books.tally().missed) == "{'late': 1}"
