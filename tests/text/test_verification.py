"""All fields of one label together: what is read, what is expected, and the verdict that follows. The reader's answers are given."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st

from inspectd.control.protocol import ExpectRequest
from inspectd.control.requester import SIGHUP
from inspectd.errors import InferenceError
from inspectd.part import Fault, FieldCheck, Part, Pass, Scores, Uncertain, WrongCharacter, words
from inspectd.text.config import TextConfig
from inspectd.text.expectation import Expectations
from inspectd.text.judging import Line
from inspectd.text.reading import Character, Reading
from inspectd.text.verification import Verification, judged
from tests.factories import coded_label

SCORES = Scores(("bad", "good"), (0.1, 0.9))
HERE = np.eye(3)
FIELDS: dict[str, Any] = {
    "part": {"kind": "text", "font": "dots", "box": [10, 10, 60, 12], "expect": {"from": "constant", "value": "09G 325"}},
    "lot": {"kind": "text", "font": "dots", "box": [10, 30, 60, 12], "expect": {"from": "given"}},
    "code": {"kind": "code", "symbology": "data_matrix", "box": [112, 40, 40, 40], "expect": {"from": "template", "value": "{lot}"}},
    "copy": {"kind": "text", "font": "dots", "box": [10, 50, 60, 12], "expect": {"from": "code", "field": "code"}},
}  # fmt: skip


class Eye:
    """A reader that answers what it is told to; it remembers the lines that it was asked about."""

    name, hash, median_ms, service_ms = "eye", "e" * 64, 0.5, 1.0

    def __init__(self, **answers: Reading) -> None:
        self.answers = answers
        self.asked: list[Line] = []

    def verify(self, image: Any, to_image: Any, lines: Sequence[Line]) -> list[Reading]:
        self.asked = list(lines)
        names = {tuple(field["box"]): name for name, field in FIELDS.items()}
        return [self.answers.get(names[line.box], Reading("right", line.allowed[0], 1.5)) for line in lines]


def verification(eye: Any, lot: str | None = "748183") -> Verification:
    config = TextConfig.model_validate({"reader": "unused", "fields": FIELDS})
    expectations = Expectations(config)
    if lot is not None:
        expectations.give(ExpectRequest.model_validate({"verb": "expect", "fields": {"lot": lot}}), SIGHUP)
    return Verification(config, eye, expectations)


def check(eye: Any, lot: str | None = "748183", says: str = "748183", to_image: Any = HERE) -> dict[str, FieldCheck]:
    found = verification(eye, lot).check(Part(1, 1, 10**18, 10**18, 2 * 10**18), coded_label(says), to_image)
    return {each.field: each for each in found}


def reasons(found: dict[str, FieldCheck]) -> dict[str, str | None]:
    return {name: each.reason for name, each in found.items()}


def test_a_right_label_is_right_in_every_field():
    eye = Eye()
    found = check(eye)
    assert reasons(found) == dict.fromkeys(FIELDS)
    assert list(found) == list(FIELDS), "in the order of the config"
    assert {name: each.found for name, each in found.items()} == {
        "part": "09G 325",
        **dict.fromkeys(("lot", "code", "copy"), "748183"),
    }
    assert [line.allowed for line in eye.asked] == [("09G 325",), ("748183",), ("748183",)]
    assert found["part"].box == (10, 10, 60, 12)
    assert (found["part"].score, found["code"].score) == (1.5, None)
    assert judged(SCORES, tuple(found.values())) == Pass(SCORES)


def test_a_code_that_disagrees_with_the_text_is_found_on_both():
    found = check(Eye(copy=Reading("right", "748184", 1.5)), says="748184")
    assert reasons(found) == {"part": None, "lot": None, "code": "code_wrong", "copy": None}
    assert (found["code"].expected, found["code"].found) == (("748183",), "748184")
    verdict = judged(SCORES, tuple(found.values()))
    assert words(verdict).reason == "code_wrong"


def test_a_code_that_is_not_read_leaves_what_rests_on_it_unknown():
    eye = Eye()
    found = check(eye, to_image=np.array([[1, 0, 300], [0, 1, 0], [0, 0, 1.0]]))
    assert reasons(found) == {"part": None, "lot": None, "code": "code_unreadable", "copy": "text_not_expected"}
    assert len(eye.asked) == 2, "nobody can compare a text with nothing"
    assert words(judged(SCORES, tuple(found.values()))).reason == "code_unreadable"


def test_without_an_expectation_nothing_is_right():
    found = check(Eye(), lot=None)
    assert reasons(found)["lot"] == reasons(found)["code"] == "text_not_expected"
    assert all(found[name].expected == () and found[name].source for name in ("lot", "code"))
    verdict = judged(SCORES, tuple(found.values()))
    assert isinstance(verdict, Uncertain)
    assert verdict.text == found["lot"]


@pytest.mark.parametrize(
    ("reading", "reason", "says", "worst", "box"),
    [
        (Reading("wrong", "748183", -7.5, Character(2, "8", "3", (30, 31, 8, 10))), "text_wrong", "743183", WrongCharacter(2, "8", "3"), (30, 31, 8, 10)),
        (Reading("wrong", "748183", -7.5, Character(2, "8", "", (30, 31, 8, 10))), "text_wrong", "74183", WrongCharacter(2, "8", ""), (30, 31, 8, 10)),
        (Reading("wrong", "748183", -7.5, Character(6, "", "1", (30, 31, 8, 10))), "text_wrong", "7481831", WrongCharacter(6, "", "1"), (30, 31, 8, 10)),
        (Reading("unreadable", "748183", -3.5, Character(0, "7", "?", (9, 31, 8, 10))), "text_unreadable", "?48183", WrongCharacter(0, "7", "?"), (9, 31, 8, 10)),
        (Reading("missing", "748183", -99.0), "text_missing", "", None, (10, 30, 60, 12)),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(reading, reason, says, worst, box):
    found = check(Eye(lot=reading))["lot"]
    assert (found.reason, found.found, found.worst, found.score) == (reason, says, worst, reading.score)
    assert found.box == box
    assert found.expected == ("748183",)
    assert judged(SCORES, (found,)) == Fault(SCORES, found)


def test_the_box_of_a_character_is_where_the_print_is():
    shift = np.array([[1, 0, 5], [0, 1, 3], [0, 0, 1.0]])
    reading = Reading("wrong", "748183", -7.5, Character(2, "8", "3", (30, 31, 8, 10)))
    assert check(Eye(lot=reading), to_image=shift)["lot"].box == (35, 34, 8, 10)
    outside = Reading("wrong", "748183", -7.5, Character(2, "8", "3", (400, -31, 8, 10)))
    left, top, width, height = check(Eye(lot=outside))["lot"].box
    assert 0 <= left < left + width <= 200
    assert 0 <= top < top + height <= 120


@pytest.mark.parametrize("to_image", [None, np.full((3, 3), np.nan), np.array([[np.inf, 0, 0], [0, 1, 0], [0, 0, 1]])])
def test_without_the_place_of_the_print_nothing_is_verified(to_image):
    with pytest.raises(InferenceError, match="the text can't be verified"):
        check(Eye(), to_image=to_image)


@pytest.mark.parametrize(
    "error", [MemoryError(), cv2.error("x"), KeyError("lot"), InferenceError("the network failed")]
)
def test_whatever_fails_is_an_inference_error(error):
    class Blind(Eye):
        def verify(self, *_: Any) -> list[Reading]:
            raise error

    with pytest.raises(InferenceError):
        check(Blind())


def test_a_reader_that_answers_too_little_is_an_error():
    class Short(Eye):
        def verify(self, image: Any, to_image: Any, lines: Sequence[Line]) -> list[Reading]:
            return super().verify(image, to_image, lines)[:-1]

    with pytest.raises(InferenceError):
        check(Short())


REASONS = st.sampled_from(
    [None, "text_wrong", "text_unreadable", "text_missing", "code_unreadable", "code_wrong", "text_not_expected"]
)


@given(st.lists(REASONS, max_size=6))
def test_a_label_passes_only_if_every_field_is_right(given_reasons):
    checks = [FieldCheck(str(n), reason, (), "", "", None, (0, 0, 1, 1)) for n, reason in enumerate(given_reasons)]
    verdict = judged(SCORES, checks)
    assert isinstance(verdict, Pass) == (set(given_reasons) <= {None})
    if isinstance(verdict, Uncertain):
        assert set(given_reasons) <= {None, "text_not_expected"}
    assert words(verdict).reason in (*given_reasons, None)


@pytest.mark.parametrize("source", ["template", "given", "element"])
@pytest.mark.parametrize("is_gs1", [True, False])
def test_a_gs1_code_must_begin_with_fnc1(source, is_gs1):
    """Without it, a scanner takes the same content for plain text."""
    rules = {"template": {"from": "template", "value": "(10){lot}"}, "given": {"from": "given"}, "element": None}
    fields = {
        "lot": FIELDS["lot"],
        "code": FIELDS["code"] | {"box": [80, 40, 120, 120], "expect": rules[source]},
        "copy": FIELDS["copy"] | {"expect": {"from": "code", "field": "code", "ai": "10"}},
    }
    config = TextConfig.model_validate({"reader": "unused", "fields": fields})
    expectations = Expectations(config)
    told = {"lot": "A-7"} | ({"code": "(10)A-7"} if source == "given" else {})
    expectations.give(ExpectRequest.model_validate({"verb": "expect", "fields": told}), SIGHUP)
    drawn = zxingcpp.create_barcode("(10)A-7" if is_gs1 else "10A-7", zxingcpp.BarcodeFormat.DataMatrix, gs1=is_gs1)
    image = np.full((200, 240), 255, np.uint8)
    cells = np.array(drawn.to_image(scale=8, add_quiet_zones=False))
    image[60 : 60 + len(cells), 100 : 100 + len(cells)] = cells
    checks = Verification(config, Eye(), expectations).check(Part(1, 1, 10**18, 10**18, 2 * 10**18), image, HERE)
    found = {each.field: each for each in checks}
    assert found["code"].reason == (None if is_gs1 else "code_wrong")
    assert found["code"].found == ("10A-7" if is_gs1 else "10A-7 (without FNC1 at its begin)")
