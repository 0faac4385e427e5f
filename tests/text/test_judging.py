import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspectd.text.judging import Judge, Line
from inspectd.text.pattern import Pattern
from inspectd.text.reading import Character, Reading

ALPHABET = "0123456789ABILOST-."
JUDGE = Judge(ALPHABET)
THRESHOLD = float(np.log(0.5))
BOX = (10, 20, 120, 30)
DAMAGED = 1


def printed(text: str, sure: float = 0.998, halves: str = "") -> NDArray[np.float32]:
    """What a network says of a clear print of `text`, four columns per character. `?` is a damaged character. `halves`: a
    character that the first one looks like as much."""
    probs = np.full((4 * len(text) + 2, 2 + len(ALPHABET)), (1 - sure) / (1 + len(ALPHABET)))
    probs[:, 0] = sure
    for place, character in enumerate(text):
        if character != " ":
            symbol = DAMAGED if character == "?" else 2 + ALPHABET.index(character)
            probs[4 * place + 2, [0, symbol]] = probs[4 * place + 2, [symbol, 0]]
    if halves:
        first, other = (2 + ALPHABET.index(character) for character in (text[0], halves))
        probs[2, other] = probs[2, first] = probs[2, first] / 2
    return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


def read(print_: NDArray[np.float32] | str, *allowed: str, pattern: str | None = None) -> Reading:
    log_probs = printed(print_) if isinstance(print_, str) else print_
    return JUDGE.judge(log_probs, Line(BOX, "dots", allowed, (pattern and Pattern(pattern)) or None), THRESHOLD)


def test_the_right_text_is_accepted() -> None:
    reading = read("LOT 7481-83", "LOT 7481-83")
    assert (reading.verdict, reading.text, reading.worst) == ("right", "LOT 7481-83", None)
    assert reading.score > 0


def test_any_of_several_allowed_texts_is_accepted() -> None:
    assert read("05.01.2027", "04.01.2027", "05.01.2027").text == "05.01.2027"


@pytest.mark.parametrize(
    ("print_", "index", "expected", "found"),
    [
        ("LOT 7431-83", 6, "8", "3"),
        ("LOT 748-83", 7, "1", ""),
        ("LOT 74821-83", 7, "", "2"),
        ("LOT 7481-8", 10, "3", ""),
        ("LOT 7481-833", 11, "", "3"),
        ("LOT 7499-83", 6, "8", "9"),
    ],
)
def test_another_text_is_wrong_and_the_character_is_named(print_: str, index: int, expected: str, found: str) -> None:
    reading = read(print_, "LOT 7481-83")
    assert reading.verdict == "wrong"
    assert reading.worst is not None
    # which of two equal neighbours is one too many can't be seen
    assert (reading.worst.expected, reading.worst.found) == (expected, found)
    assert abs(reading.worst.index - index) <= (print_ == "LOT 7481-833")
    assert reading.score < 0


def test_the_box_of_a_wrong_character_is_where_it_is_printed() -> None:
    worst = read("1234", "1254").worst
    assert worst is not None
    left, top, width, height = worst.box
    assert (top, height) == (20, 30)
    assert left <= 10 + 120 * 10.5 / 18 <= left + width  # the middle of column 10 of 18
    assert width == pytest.approx(120 * 4 / 18, abs=2)


def test_a_damaged_character_is_unreadable() -> None:
    reading = read("74?1", "7481")
    assert (reading.verdict, reading.worst and reading.worst.found) == ("unreadable", "?")


def test_a_doubtful_print_is_unreadable() -> None:
    assert read(printed("7481", halves="1"), "7481").verdict == "unreadable"


def test_no_print_is_missing() -> None:
    assert read("     ", "LOT 7481").verdict == "missing"


def test_nothing_is_right_if_nothing_is_allowed() -> None:
    assert read("7481").verdict == "unreadable"
    assert read("7481", "").verdict == "unreadable"


def test_a_text_with_characters_that_the_reader_does_not_know_is_never_right() -> None:
    assert JUDGE.unknown_characters("lot 7") == ["l", "o", "t"]
    assert read("7481", "748€").verdict == "unreadable"


def test_a_text_that_has_no_room_is_rejected() -> None:
    assert read("7", "7481-83 7481-83").verdict != "right"


def test_a_letter_counts_as_the_digit_that_looks_like_it_only_where_the_pattern_allows_one_of_the_two() -> None:
    assert read("O481", "0481").verdict == "wrong"
    assert read("O481", "0481", pattern="[0-9]{4}").verdict == "right"
    assert read("O481", "0481", pattern="[0-9A-Z]{4}").verdict == "wrong"
    assert read("O431", "0481", pattern="[0-9]{4}").worst == Character(2, "8", "3", read("0431", "0481").worst.box)  # type: ignore[union-attr]
    assert read(printed("0481", halves="O"), "0481", pattern="[0-9]{4}").verdict == "right"


def test_one_print_never_counts_as_two_characters_that_look_alike() -> None:
    assert read("O1", "0O1", pattern="[0-9][0-9A-Z][0-9]").verdict != "right"
    assert read("01", "001", pattern="[0-9]{3}").verdict != "right"


def test_any_text_of_a_pattern_is_accepted_and_given() -> None:
    def judged(print_: str) -> Reading:
        return JUDGE.judge(printed(print_), Line(BOX, "dots", Pattern("LOT [0-9]{4}-[0-9]{2}")), THRESHOLD)

    assert (judged("LOT 7481-83").verdict, judged("LOT 7481-83").text) == ("right", "LOT 7481-83")
    assert judged("LOT 748O-83").text == "LOT 7480-83"
    assert judged("LOT 748A-83").verdict == "wrong"
    assert judged("LOT 748-83").verdict == "wrong"
    assert judged("").verdict != "right"


@settings(deadline=None, max_examples=100)
@given(st.text(ALPHABET + " ", min_size=1, max_size=10), st.text(ALPHABET + " ", min_size=1, max_size=10))
def test_a_clear_print_is_right_exactly_if_it_says_the_text(print_: str, expected: str) -> None:
    reading = read(print_, expected)
    same = print_.replace(" ", "") == expected.replace(" ", "") != ""
    assert (reading.verdict == "right") == same
    if reading.worst is not None:
        assert (
            reading.worst.expected == expected[reading.worst.index : reading.worst.index + 1]
            or not reading.worst.expected
        )
