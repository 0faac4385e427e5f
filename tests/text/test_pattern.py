"""Patterns of a fixed length: what they match, and what is wrong with others."""

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.text.pattern import Pattern

_PIECES = st.lists(
    st.tuples(
        st.sampled_from(["[0-9]", "[A-Z]", "[A-F0-9]", "[-+]", "[a\\]b]", "L", " ", "-", "/", "\\.", "\\\\", "0"]),
        st.sampled_from(["", "{1}", "{3}", "{10}"]),
    ),
    min_size=1,
    max_size=6,
).map(lambda pieces: "".join(map("".join, pieces)))


@settings(max_examples=30)
@given(_PIECES, st.data())
def test_it_matches_what_a_regular_expression_matches(source, data):
    pattern = Pattern(source)
    right = data.draw(st.from_regex(re.compile(source, re.ASCII), fullmatch=True))
    assert pattern.matches(right)
    other = data.draw(st.text("0AZaL -/.+]\\9", max_size=len(right) + 1) | st.just(right[:-1]) | st.just(right + "0"))
    assert pattern.matches(other) == (re.fullmatch(source, other) is not None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "empty"),
        ("[0-9]+", r"'\+' has no meaning"),
        ("A.C", r"'\.' has no meaning .* write \\\."),
        ("[0-9", "']' is missing"),
        ("A{4", "'}' is missing"),
        ("A{}", r"\{\} is not allowed"),
        ("A{0}", r"\{0\} is not allowed"),
        ("A{2,4}", r"\{2,4\} is not allowed"),
        ("A{2}{3}", r"\{3\} is not allowed"),
        ("A{999999999999}", "is not allowed"),
        ("[0-9]{60}[0-9]{60}", "at most 100 characters"),
        ("{4}A", "must follow"),
        ("[^A]", "must name its characters"),
        ("[]", "must name its characters"),
        ("[9-0]", "comes after"),
        ("\\d", "write \\[0-9\\] for a digit"),
        ("A\\", "must be followed"),
    ],
)
def test_what_is_wrong_is_said(source, words):
    with pytest.raises(ValueError, match=words):
        Pattern(source)


@given(st.text("[]{}0123456789-A\\^.+ ", max_size=30))
def test_any_source_is_a_pattern_or_is_refused(source):
    with suppress(ValueError):
        pattern = Pattern(source)
        assert pattern.matches("".join(min(place) for place in pattern.places))
