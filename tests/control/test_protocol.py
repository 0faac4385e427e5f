"""The language of the control socket: any line is a request or is refused with one sentence."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspectd.control.protocol import VERBS, VERSION, AcknowledgeRequest, Begin, ExpectRequest, answered, parse, refused
from inspectd.control.stops import STOPS

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=20,
)
_NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from([VERSION, True, 1.0, 2, "1", None]),
        "verb": st.sampled_from([*VERBS, "STATUS", "", None]) | _JSON,
        "fields": st.dictionaries(
            st.sampled_from(["lot", "", "x" * 40]), st.sampled_from(["A", "", None, 7]), max_size=2
        )
        | _JSON,
        "from": st.sampled_from(
            ["next", "now", {"part": 7}, {"part": 0}, {"time": "now"}, {"part": 7, "time": "x"}, {}]
        )
        | _JSON,
        "stops": st.lists(st.sampled_from([*STOPS, "", None]), max_size=30) | _JSON,
        "more": _JSON,
    },
)


@pytest.mark.parametrize("begin", ["next", {"part": 1042}, {"time": "2026-11-28T06:00+01:00"}])
def test_an_expectation_is_a_request(begin):
    line = {"version": 1, "verb": "expect", "fields": {"lot": "7481-83", "serial": None}, "from": begin}
    found = parse(json.dumps(line).encode())
    assert isinstance(found, ExpectRequest)
    assert found.fields == {"lot": "7481-83", "serial": None}
    assert found.begin == (begin if begin == "next" else Begin(**begin))
    del line["from"]
    assert parse(json.dumps(line).encode()).begin == "next"


def refusal(line: bytes) -> str | None:
    """Why the line is refused; None if it is a request."""
    try:
        parse(line)
    except ValueError as error:
        return str(error)
    return None


def test_an_acknowledgement_names_the_stops_that_were_shown():
    line = {"version": 1, "verb": "acknowledge", "stops": ["too_many_rejects", "reject_not_driven"]}
    found = parse(json.dumps(line).encode())
    assert isinstance(found, AcknowledgeRequest)
    assert found.stops == ("too_many_rejects", "reject_not_driven")
    assert parse(b'{"version": 1, "verb": "acknowledge"}').stops is None
    said = refusal(json.dumps(line | {"stops": ["too_many"]}).encode())
    assert said is not None
    assert "reject_unconfirmed" in said, "it says what is allowed"
    assert refusal(json.dumps(line | {"verb": "status"}).encode()) is not None


_PLAIN = [verb for verb in VERBS if verb != "expect"]


@pytest.mark.parametrize("verb", _PLAIN)
def test_each_verb_is_a_request(verb):
    assert parse(json.dumps({"version": 1, "verb": verb}).encode()).verb == verb
    assert parse(b'  { "verb" : "%s", "version" : 1 }\r' % verb.encode()).verb == verb


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"version": 1, "verb": "expect"}', "fields: missing"),
        (b'{"version": 1, "verb": "expect", "fields": {}}', "fields: {} is not allowed"),
        (b'{"version": 1, "verb": "expect", "fields": {"lot": 7}}', "fields.lot: 7 is not allowed: must be text"),
        (b'{"version": 1, "verb": "expect", "fields": {"lot": ""}}', "fields.lot: '' is not allowed"),
        (
            b'{"version": 1, "verb": "expect", "fields": {"lot": "A"}, "from": "now"}',
            "from: 'now' is not allowed: must be 'next'",
        ),
        (
            b'{"version": 1, "verb": "expect", "fields": {"lot": "A"}, "from": {"part": true}}',
            "from.part: True is not allowed",
        ),
        (b'{"version": 1, "verb": "expect", "fields": {"lot": "A"}, "from": {}}', "must have either part or time"),
        (b'{"version": 1, "verb": "status", "fields": {"lot": "A"}}', "fields: unknown key"),
        (b"", "not valid JSON"),
        (b"status", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "version: missing"),
        (b'{"version": 1}', "verb: missing"),
        (b'{"version": 2, "verb": "status"}', "version: 2 is not allowed: this line knows version 1 only"),
        (b'{"version": true, "verb": "status"}', "version: True is not allowed"),
        (b'{"version": 1.0, "verb": "status"}', "version: 1.0 is not allowed"),
        (b'{"version": "1", "verb": "status"}', "version: '1' is not allowed"),
        (b'{"version": 1, "verb": "state"}', "verb: 'state' is not allowed"),
        (b'{"version": 1, "verb": ["status"]}', "verb: ['status'] is not allowed"),
        (b'{"version": 1, "vreb": "status"}', "did you mean 'verb'?"),
        (b'{"version": 1, "verb": "status", "now": true}', "now: unknown key"),
        (b'{"version": 1, "verb": "status", "verb": "reload"}', "'verb' occurs twice"),
        (b'{"version": 1, "verb": "status"} {}', "not valid JSON"),
        (b'{"version": 1, "verb": "sta\0tus"}', "not valid JSON"),
        (b'{"version": 1, "verb": "\\u0000"}', "contains the character"),
        (b'{"version": 1, "verb": "\\ud800"}', "contains the character"),
        (b'{"version": 1, "verb": "\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"version": NaN}', "NaN is not a number"),
        (b'{"version": 1e999}', "must be finite"),
        (b'{"version": %s}' % (b"9" * 4000), "numbers up to"),
        (b"[" * 4000, "levels deep"),
        (b'{"a":' * 800, "not valid JSON"),
    ],
)
def test_what_is_wrong_is_said(line, words):
    found = refusal(line)
    assert found is not None
    assert words in found


@given(st.binary(max_size=4096) | _JSON.map(json.dumps).map(str.encode) | _NEARLY.map(json.dumps).map(str.encode))
@example(b"[" * 4095)
@example(b'{"":' * 1000)
def test_any_line_is_a_request_or_is_refused_in_one_line(line):
    found = refusal(line)
    if found is None:
        values = json.loads(line)
        if values["verb"] == "expect":
            assert values.keys() <= {"version", "verb", "fields", "from"}
        else:
            assert values == {"version": 1, "verb": values["verb"]}
        assert type(values["version"]) is int
        assert values["verb"] in VERBS
    else:
        assert found
        assert found.isprintable()
        assert len(found) < 2000


@given(st.text())
def test_an_answer_is_one_line(text):
    for line in (answered(value=text), refused(text)):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        values = json.loads(line)
        assert values["version"] == VERSION
        assert text in values.values()
