"""GS1 element strings: written, read back, and refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.text import gs1
from inspectd.text.template import Template

_CHARACTERS = "ABCXYZ0123456789-/.()"
_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "01": st.just("09501101530003"),
        "11": st.dates().map(lambda day: f"{day:%y%m%d}"),
        "10": st.text(_CHARACTERS, min_size=1, max_size=20),
        "3103": st.integers(0, 999_999).map("{:06}".format),
        "17": st.dates().map(lambda day: f"{day:%y%m%d}"),
        "21": st.text(_CHARACTERS, min_size=1, max_size=20),
        "240": st.text(_CHARACTERS, min_size=1, max_size=30),
    },
).filter(len)


@given(_VALUES.flatmap(lambda values: st.permutations(list(values.items()))).map(dict))
def test_what_is_written_is_read_back(values):
    content = gs1.encoded(values)
    assert gs1.elements(content) == values
    assert not content.endswith(gs1.SEPARATOR)
    assert gs1.normal(content + gs1.SEPARATOR) == gs1.normal(content) == content


def test_superfluous_separators_change_nothing():
    found = gs1.content("(01)09501101530003(17)271105(10)AB-1(21)7")
    assert found == "01095011015300031727110510AB-1\x1d217"
    assert gs1.normal("0109501101530003\x1d17271105\x1d10AB-1\x1d217\x1d") == found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("01", "is not a GS1 element string"),
        ("7481-83", "is not a GS1 element string"),
        ("0109501101530004", r"wrong check digit in the element \(01\)"),
        ("10AB\x1d10CD", r"has the element \(10\) twice"),
        ("10" + "A" * 21, "is not a GS1 element string"),
        ("11260230", "is not a GS1 element string"),
    ],
)
def test_other_content_is_refused(content, words):
    with pytest.raises(ValueError, match=words):
        gs1.elements(content)


@given(st.text("0123456789\x1dAB", max_size=40) | st.text(max_size=40))
def test_any_content_is_read_or_refused(content):
    with suppress(ValueError):
        assert gs1.elements(content)
    assert gs1.normal(gs1.normal(content)) == gs1.normal(content)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("(01)", r"\(01\) has no value"),
        ("(10)A(10)B", r"\(10\) occurs twice"),
        ("(9999)A", r"\(9999\) is not an application identifier"),
        ("{lot", "expected '}'"),
        ("{lot!r}", "write {lot}"),
        ("{0}", "write {lot}"),
        ("{}", "write {lot}"),
        ("{a.b}", "write {lot}"),
        ("{date:%H}", "%H is not allowed"),
    ],
)
def test_wrong_templates_are_refused(source, words):
    with pytest.raises(ValueError, match=words):
        Template.parse(source)


def test_a_template_is_filled():
    template = Template.parse("LOT {lot} {{x}}")
    assert (template.is_gs1, template.filled({"lot": "A"})) == (False, "LOT A {x}")
    assert Template.parse("(10){lot}(21){serial}").filled({"lot": "A", "serial": "7"}) == "10A\x1d217"


def test_a_missing_separator_is_not_added():
    """A scanner reads the rest of the code as part of the lot, although this one has as many characters as a lot can have."""
    missing = f"10{'A' * 20}17261231\x1d2115"
    assert gs1.normal(missing) == missing


def test_a_value_of_a_wrong_length_that_makes_other_elements_is_refused():
    with pytest.raises(ValueError, match=r"is read as \(17\)261210\(10\)LOT: a value has a wrong length"):
        gs1.content("(17)2612(10)10LOT")
