"""What a label must say, over changes of job and day, with counters and codes. No label may pass with a text that is not right."""

import threading
import time
from datetime import datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inspectd.text.expectation import Expectations
from inspectd.text.pattern import Pattern
from inspectd.text.plan import Order, Plan
from tests.text.lines import code, expectations, give, part, text

_S = 1_000_000_000
_PERIOD_NS = _S // 50
NONE: dict[str, str] = {}


def allowed(found: Expectations, number: int, t_ns: int = 0, name: str = "lot", **codes: str) -> tuple[str, ...]:
    result = found.of(part(number, t_ns), codes)[name].allowed
    assert isinstance(result, tuple)
    return result


def test_nothing_is_right_before_something_was_given():
    found = expectations({"lot": text("given"), "serial": text("counter", pattern="S[0-9]{3}")})
    expected = found.of(part(1), NONE)
    assert {name: each.allowed for name, each in expected.items()} == {"lot": (), "serial": ()}
    assert expected["lot"].source == "nothing was given since the line started"


def test_a_value_counts_from_its_part_on_and_says_who_gave_it():
    found = expectations({"lot": text("given", printed="LOT {}")})
    found.next_part_id = lambda: 10
    assert give(found, lot="A") == {"from": "part 10", "next_part": 10}
    give(found, {"part": 12}, lot="B")
    assert [allowed(found, number) for number in (9, 10, 11, 12, 13)] == [
        (),
        ("LOT A",),
        ("LOT A",),
        ("LOT B",),
        ("LOT B",),
    ]
    assert found.of(part(14), NONE)["lot"].source == "given by printer (uid 990, pid 812) from part 12"


def test_a_value_that_was_withdrawn_is_not_right_any_more():
    found = expectations({"lot": text("given", grace_s=60)})
    give(found, {"part": 1}, lot="A")
    give(found, {"part": 2}, lot=None)
    give(found, {"part": 3}, lot="B")
    assert [allowed(found, number) for number in (1, 2, 3)] == [("A",), (), ("B",)]
    assert found.of(part(4), NONE)["lot"].source.endswith("from part 3")


@settings(max_examples=40)
@given(
    printed=st.integers(1, 60),
    told=st.integers(1, 60),
    grace_s=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    early=st.booleans(),
)
def test_at_a_change_of_job_only_the_old_and_the_new_lot_pass_and_only_in_the_grace(printed, told, grace_s, early):
    """50 labels per second. The printer changes its lot at one label; the line is told of another one."""
    found = expectations({"lot": text("given", grace_s=grace_s)})
    give(found, {"part": 1}, lot="OLD")
    if early:
        give(found, {"part": told}, lot="NEW")
    rejected = []
    for number in range(1, 170):
        if number == told and not early:
            found.next_part_id = lambda: number  # noqa: B023
            give(found, lot="NEW")
        lot = "OLD" if number < printed else "NEW"
        right = allowed(found, number, number * _PERIOD_NS)
        in_grace = told <= number < told + grace_s * 50 and told > 1
        assert right == (("OLD",) if number < told else ("NEW", "OLD") if in_grace else ("NEW",))
        if lot not in right:
            rejected.append(number)
    late = range(printed, told)
    too_early = [number for number in range(told, printed) if told == 1 or number >= told + grace_s * 50]
    assert rejected == [*late, *too_early]


def test_the_grace_begins_with_the_first_label_even_if_that_one_is_rejected():
    found = expectations({"lot": text("given", grace_s=1)})
    give(found, {"part": 1}, lot="OLD")
    give(found, {"part": 10}, lot="NEW")
    now_ns = time.monotonic_ns()
    found.next_part_id = lambda: 10
    found.look()
    assert allowed(found, 9, now_ns) == ("OLD",)
    found.next_part_id = lambda: 11
    found.look()
    assert allowed(found, 60, now_ns + 900_000_000) == ("NEW", "OLD")
    assert allowed(found, 61, now_ns + 1_100_000_000) == ("NEW",)


_STEP = st.one_of(
    st.tuples(st.just("part"), st.integers(1, 40)),
    st.tuples(st.just("next"), st.just(0)),
    st.tuples(st.just("label"), st.integers(1, 4)),
)


@given(st.lists(_STEP, max_size=40))
def test_the_value_that_began_last_is_right(steps):
    """The reference knows of each label with which order it begins, label by label, also of labels that nobody asked about."""
    found = expectations({"lot": text("given")})
    following = 1
    orders: list[tuple[int, int, str]] = []
    """First label, how manieth order, value."""
    found.next_part_id = lambda: following
    for serial, (step, number) in enumerate(steps):
        value = f"L{serial}"
        if step == "label":
            following += number  # some were rejected before anybody asked what they say
            begun = [order for order in orders if order[0] < following]
            assert allowed(found, following - 1) == ((max(begun)[2],) if begun else ())
        else:
            first = following if step == "next" else max(number, following)
            give(found, "next" if step == "next" else {"part": first}, lot=value)
            orders.append((first, serial, value))


def test_a_time_is_turned_into_a_label_when_it_is_given():
    found = expectations({"lot": text("given")})
    give(found, {"part": 1}, lot="A")
    now_ns, now_s = time.monotonic_ns(), time.time()
    begin = datetime.fromtimestamp(now_s + 3600).astimezone().isoformat()
    give(found, {"time": begin}, lot="B")
    assert allowed(found, 1, now_ns + 3599 * _S) == ("A",)
    assert allowed(found, 2, now_ns + 3601 * _S) == ("B",)


@pytest.mark.parametrize("part_first", [True, False])
@pytest.mark.parametrize("asked", [20, 33])
def test_of_a_part_and_a_time_the_later_one_counts_also_if_no_label_was_asked_about(part_first, asked):
    """The line stood, or the labels in between were rejected before anybody asked what they say."""
    plan = Plan()
    by_part = Order("PART", "printer", 20, None, "part 20")
    by_time = Order("TIME", "printer", None, 100 * _S, "a time")
    for order in (by_part, by_time) if part_first else (by_time, by_part):
        plan.add(order)
    plan.notice(20 if part_first else 19, 99 * _S)
    plan.notice(20, 101 * _S)
    plan.notice(asked + 1, 300 * _S)
    plan.reach(part(asked, 300 * _S))
    assert plan.now == (by_time if part_first else by_part)


@pytest.mark.parametrize(
    ("begin", "values", "words"),
    [
        ("next", {"lott": "A"}, "fields.lott: there is no such field; did you mean 'lot'?"),
        ("next", {"date": "A"}, "fields.date: its text comes from the date; values may be given for: lot, serial"),
        ("next", {"lot": "L-1", "date": "B"}, "fields.date"),
        ("next", {"lot": "7481"}, "fields.lot: 'LOT 7481' does not match the pattern LOT "),
        ("next", {"lot": "  "}, "fields.lot: '  ' is not allowed: it has spaces only"),
        ("next", {"lot": "٣"}, "only printable ASCII characters"),
        ("next", {"serial": "S12"}, "does not match the pattern"),
        ({"time": "2030-01-01T00:00+01:00"}, {"serial": "S00012"}, "not at a time"),
        ({"time": "tomorrow"}, {"lot": "L-1"}, "from.time: 'tomorrow' is not allowed: write it like"),
        ({"time": "2030-10-27T02:30"}, {"lot": "L-1"}, "occurs never or twice"),
        ({"time": "2030-03-31T02:30"}, {"lot": "L-1"}, "occurs never or twice"),
    ],
)
def test_what_can_not_be_expected_is_refused_and_changes_nothing(begin, values, words):
    found = expectations(
        {
            "lot": text("given", pattern="LOT L-[0-9]", printed="LOT {}"),
            "date": text("date", format="%d.%m.%y"),
            "serial": text("counter", pattern="S[0-9]{5}"),
        }
    )
    with pytest.raises(ValueError, match=words):
        give(found, begin, **values)
    assert found.of(part(1), NONE)["lot"].allowed == ()
    assert found.figures()["fields"]["lot"]["later"] == []


def test_a_value_that_was_told_too_late_does_not_replace_the_one_that_began_after_it():
    found = expectations({"lot": text("given")})
    now_ns = time.monotonic_ns()
    give(found, {"part": 10}, lot="B")
    assert allowed(found, 11, now_ns) == ("B",)
    hour_ago = datetime.fromtimestamp(time.time() - 3600).astimezone().isoformat()
    for begin in ({"part": 9}, {"time": hour_ago}):
        with pytest.raises(ValueError, match=r"fields.lot: too late for .*: 'B' from part 10 counts already"):
            give(found, begin, lot="A")
    assert allowed(found, 12, now_ns) == ("B",)
    give(found, {"part": 10}, lot="C")
    assert allowed(found, 13, now_ns) == ("C",)


def test_so_many_values_may_wait_and_no_more():
    found = expectations({"lot": text("given")})
    for number in range(1000):
        give(found, {"part": 10 + number}, lot=f"L{number}")
    with pytest.raises(ValueError, match="1000 values wait for their label already"):
        give(found, lot="A")
    assert allowed(found, 509) == ("L499",)
    give(found, {"part": 510}, lot="A")
    assert allowed(found, 510) == ("A",)


def test_the_status_shows_the_next_label_and_changes_nothing():
    found = expectations({"lot": text("given"), "serial": text("counter", pattern="S[0-9]{3}", may_differ_by=2)})
    found.next_part_id = lambda: 20
    give(found, {"part": 1}, lot="A", serial="S001")
    assert allowed(found, 9, name="serial") == ("S009", "S008", "S010", "S007", "S011")
    found.passed(part(9), {"serial": "S011"})
    give(found, lot="B", serial="S500")
    give(found, {"part": 99}, lot="C")
    figures = found.figures()
    assert figures["next_part"] == 20
    assert figures["fields"]["lot"]["allowed"] == ["B"]
    assert figures["fields"]["lot"]["later"] == [{"value": "C", "from": "part 99"}]
    assert figures["fields"]["serial"]["allowed"] == ["S500", "S501", "S502"]
    # labels that are on their way still need what was given before
    assert (allowed(found, 10), allowed(found, 10, name="serial")) == (("A",), ("S012", "S013", "S014"))
    assert (allowed(found, 20), allowed(found, 20, name="serial")) == (("B",), ("S500", "S501", "S502"))


@given(
    may_differ_by=st.integers(0, 3),
    labels=st.lists(
        st.tuples(st.sampled_from([1, 1, 1, 1, 1, 0, 2, -3, 5]), st.booleans(), st.integers(1, 3)),
        min_size=1,
        max_size=60,
    ),
)
@example(may_differ_by=2, labels=[(1, True, 1), (0, True, 1)])
def test_no_number_passes_twice_or_goes_back(may_differ_by, labels):
    """Each label: by how much the printer advances (1 is right), whether network and guard let it pass, and how many parts later
    it comes."""
    found = expectations({"serial": text("counter", pattern="S[0-9]{4}", may_differ_by=may_differ_by)})
    give(found, {"part": 1}, serial="S0100")
    printed, number, passed = 99, 0, [99]
    is_exact = True
    for advance, would_pass, later in labels:
        number += later
        printed = max(printed + advance + later - 1, 0)
        is_exact &= advance == 1
        right = allowed(found, number, name="serial") if would_pass else ()
        assert len(right) <= 1 + 2 * may_differ_by
        if is_exact and would_pass:
            assert right[0] == f"S{printed:04}"
        if f"S{printed:04}" in right:
            found.passed(part(number), {"serial": f"S{printed:04}"})
            passed.append(printed)
    assert passed == sorted(set(passed))


def test_a_counter_ends_with_its_digits():
    found = expectations({"serial": text("counter", pattern="S[0-9]")})
    give(found, {"part": 1}, serial="S8")
    assert [allowed(found, number, name="serial") for number in (1, 2, 3)] == [("S8",), ("S9",), ()]
    assert found.of(part(4), NONE)["serial"].source == "the counter has no number left"


def at(moment: str, fields: dict[str, object]) -> tuple[str, ...]:
    utc_ns = round(datetime.fromisoformat(moment).timestamp() * 1e9)
    t_ns = time.monotonic_ns()
    result = expectations(fields).of(part(1, t_ns, utc_ns), NONE)["date"].allowed
    assert isinstance(result, tuple)
    return result


@pytest.mark.parametrize(
    ("moment", "dates"),
    [
        ("2026-11-28T05:58:59+01:00", ("30.11.2028 27",)),
        ("2026-11-28T05:59:01+01:00", ("30.11.2028 27", "30.11.2028 28")),
        ("2026-11-28T06:00:00+01:00", ("30.11.2028 28", "30.11.2028 27")),
        ("2026-11-28T06:00:59+01:00", ("30.11.2028 28", "30.11.2028 27")),
        ("2026-11-28T06:01:01+01:00", ("30.11.2028 28",)),
    ],
)
def test_around_the_change_of_day_both_dates_pass(moment, dates):
    def field(form: str, **more: object) -> dict[str, object]:
        return {"date": text("date", format=form, day_begins="06:00", grace_s=60, **more)}

    best_before = at(moment, field("%d.%m.%Y", shift="+24 months", end_of_month=True))
    assert best_before == tuple(dict.fromkeys(each[:10] for each in dates))
    assert at(moment, field("%d")) == tuple(each[-2:] for each in dates)


def test_the_trigger_decides_which_day_it_is():
    """Midnight is between the trigger of a label and its inspection: the label that was triggered before bears the old date."""
    found = expectations({"date": text("date", format="%d.%m.%y")})
    midnight_ns = round(datetime.fromisoformat("2026-11-28T00:00+01:00").timestamp() * 1e9)
    t_ns = time.monotonic_ns()
    before, after = (part(1, t_ns + ns, midnight_ns + ns) for ns in (-1_000_000, 0))
    assert found.of(before, NONE)["date"].allowed == ("27.11.26",)
    assert found.of(after, NONE)["date"].allowed == ("28.11.26",)


def test_a_text_repeats_the_code_beside_it():
    found = expectations(
        {
            "lot": text("code", field="code", ai="10", printed="LOT {}"),
            "all": text("code", field="plain"),
            "code": code("template", value="(01)09501101530003(10){job}"),
            "plain": code(),
            "job": text("given"),
        }
    )
    give(found, {"part": 1}, job="A-1")
    content = "010950110153000310A-1"
    expected = found.of(part(1), {"code": content, "plain": "X"})
    assert [expected[name].allowed for name in ("lot", "all", "code")] == [("LOT A-1",), ("X",), (content,)]
    assert expected["code"].allows(content)
    assert expected["code"].allows("0109501101530003\x1d10A-1\x1d")
    assert not expected["code"].allows("010950110153000310A-2")
    assert "plain" not in expected
    for codes, why in [
        (NONE, "the code 'code' was not read"),
        ({"code": "0109501101530003"}, r"the code 'code' has no element (10)"),
        ({"code": "10A\x1d10B"}, r"the code 'code' has the element (10) twice"),
    ]:
        lot = found.of(part(1), codes)["lot"]
        assert (lot.allowed, lot.source) == ((), why)


def test_in_a_grace_text_and_code_say_the_same():
    found = expectations(
        {
            "lot": text("given", grace_s=60, printed="LOT {}"),
            "both": text("template", value="{lot} {date:%y}"),
            "date": text("date", format="%d.%m.%y"),
            "code": code("template", value="(11){date:%y%m%d}(10){lot}"),
        }
    )
    give(found, {"part": 1}, lot="OLD")
    give(found, {"part": 2}, lot="NEW")
    found.of(part(1), NONE)
    assert found.of(part(2), NONE)["lot"].allowed == ("LOT NEW", "LOT OLD")
    day = found.of(part(2), NONE)["code"].allowed[0][2:8]
    for lot in ("OLD", "NEW"):
        expected = found.of(part(3), {"code": f"11{day}10{lot}"})
        assert expected["lot"].allowed == (f"LOT {lot}",)
        assert expected["both"].allowed == (f"{lot} {day[:2]}",)
        assert expected["code"].allows(f"11{day}10{lot}")
    wrong = found.of(part(3), {"code": f"11{day}10OTHER"})
    assert not wrong["code"].allows(f"11{day}10OTHER")
    assert wrong["lot"].allowed == ("LOT NEW", "LOT OLD")


def test_in_a_grace_a_code_says_the_same_as_the_texts_in_its_templates():
    found = expectations(
        {
            "lot": text("given", grace_s=60),
            "line": text("template", value="LOT {lot}"),
            "code": code("template", value="(10){line}"),
        }
    )
    give(found, {"part": 1}, lot="OLD")
    give(found, {"part": 2}, lot="NEW")
    found.of(part(1), NONE)
    assert found.of(part(2), NONE)["line"].allowed == ("LOT NEW", "LOT OLD")
    expected = found.of(part(2), {"code": "10LOT OLD"})
    assert {name: each.allowed for name, each in expected.items()} == {
        "lot": ("OLD",),
        "line": ("LOT OLD",),
        "code": ("10LOT OLD",),
    }


def test_a_withdrawn_value_has_no_grace():
    found = expectations({"lot": text("given", grace_s=60)})
    give(found, {"part": 1}, lot="OLD")
    assert allowed(found, 1) == ("OLD",)
    give(found, {"part": 2}, lot=None)
    give(found, {"part": 2}, lot="NEW")
    assert allowed(found, 2) == ("NEW",)


def test_a_number_in_a_gs1_code_does_not_pass_twice():
    serial = code("counter", may_differ_by=2) | {"pattern": r"\(21\)[0-9]{3}"}
    found = expectations({"serial": serial, "part": text("constant", value="09G")})
    give(found, {"part": 1}, serial="(21)010")
    assert allowed(found, 1, name="serial") == ("21010", "21011", "21012")
    found.passed(part(1), {"serial": "21010\x1d"})
    assert allowed(found, 2, name="serial") == ("21011", "21012", "21013")


def test_a_code_may_be_given_in_brackets():
    found = expectations({"code": code("given"), "part": text("constant", value="09G")})
    give(found, {"part": 1}, code="(01)09501101530003(10)A(21)7")
    assert allowed(found, 1, name="code") == ("010950110153000310A\x1d217",)
    with pytest.raises(ValueError, match="wrong check digit"):
        give(found, {"part": 1}, code="(01)09501101530004")


def test_a_field_without_a_known_text_may_say_what_its_pattern_allows():
    found = expectations({"any": text("pattern", pattern="[A-Z]{2}"), "part": text("constant", value="09G")})
    expected = found.of(part(1), NONE)
    assert expected["any"].allowed == Pattern("[A-Z]{2}")
    assert expected["part"].allowed == ("09G",)


def test_values_per_label_may_be_given_while_labels_are_judged():
    """A thread gives the value of each label ahead; each label meets its own value."""
    found = expectations({"lot": text("given")})
    ahead = threading.Semaphore(0)

    def tell() -> None:
        for number in range(1, 501):
            give(found, {"part": number}, lot=f"L{number}")
            ahead.release()

    thread = threading.Thread(target=tell)
    thread.start()
    for number in range(1, 501):
        ahead.acquire()
        assert allowed(found, number) == (f"L{number}",)
    thread.join()


@pytest.mark.parametrize("ahead_s", [-90, -55, 0, 55, 90])
@pytest.mark.parametrize(
    ("change", "begins", "old", "new"),
    [
        ("2026-12-31T23:00+00:00", "00:00", "31.12.26", "01.01.27"),
        ("2026-11-28T05:00+00:00", "06:00", "27.11.26", "28.11.26"),
        ("2027-03-28T01:00+00:00", "02:30", "27.03.27", "28.03.27"),  # 02:00 becomes 03:00
        ("2027-10-31T00:30+00:00", "02:30", "30.10.27", "31.10.27"),  # 03:00 becomes 02:00
        ("2028-02-28T23:00+00:00", "00:00", "28.02.28", "29.02.28"),
    ],
)
def test_over_a_change_of_day_only_dates_within_the_grace_pass(change, begins, old, new, ahead_s):
    """The printer's clock is ahead by so many seconds; 50 labels per second, of which every 300th is looked at."""
    found = expectations({"date": text("date", format="%d.%m.%y", day_begins=begins, grace_s=60)})
    change_ns = round(datetime.fromisoformat(change).timestamp() * 1e9)
    t_ns = time.monotonic_ns()
    rejected = []
    for number, after_s in enumerate(range(-150, 5000, 6)):
        expected = found.of(part(number, t_ns + after_s * _S, change_ns + after_s * _S), NONE)["date"]
        if after_s < -60:
            assert expected.allowed == (old,)
        elif after_s >= 60:
            assert expected.allowed == (new,)
        else:
            assert set(expected.allowed) == {old, new}
            assert "grace at the change of day" in expected.source
        printed = old if after_s < -ahead_s else new
        if printed not in expected.allowed:
            rejected.append(after_s)
    assert (rejected == []) == (abs(ahead_s) <= 60)
    assert all(60 <= abs(after_s) <= 90 for after_s in rejected)
