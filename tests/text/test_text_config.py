"""The section `text` of the config: what it means, and what is refused with a sentence."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from inspectd.errors import ConfigError
from inspectd.section import checked
from inspectd.text.config import TextConfig

_BOX = [12, 8, 240, 34]
SECTION: dict[str, Any] = {
    "reader": "reader",
    "time_zone": "Europe/Berlin",
    "fields": {
        "part": {"kind": "text", "font": "dots", "box": _BOX, "expect": {"from": "constant", "value": "09G 325"}},
        "lot": {
            "kind": "text",
            "font": "dots",
            "box": _BOX,
            "pattern": "LOT [0-9]{4}-[0-9]{2}",
            "expect": {"from": "given", "printed": "LOT {}", "grace_s": 2},
        },
        "date": {
            "kind": "text",
            "font": "dots",
            "box": _BOX,
            "expect": {"from": "date", "shift": "+24 months", "end_of_month": True, "format": "%d.%m.%Y"},
        },
        "serial": {"kind": "text", "font": "dots", "box": _BOX, "pattern": "S[0-9]{5}", "expect": {"from": "counter"}},
        "code": {
            "kind": "code",
            "symbology": "data_matrix",
            "box": _BOX,
            "expect": {"from": "template", "value": "(01)09501101530003(11){date:%y%m%d}(10){lot}(21){serial}"},
        },
    },
}


def section(change: Callable[[dict[str, Any]], object] = lambda values: None) -> TextConfig:
    values = deepcopy(SECTION)
    change(values)
    return checked(TextConfig, values, Path("line.yaml"))


def test_fields_come_after_those_they_rest_on():
    config = section()
    assert {*config.order} == config.fields.keys()
    assert config.order[-1] == "code"


def _set(field: str, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda section: section["fields"][field].update(values)


def _expect(name: str, /, **values: Any) -> Callable[[dict[str, Any]], object]:
    return _set(name, expect={key.rstrip("_"): value for key, value in values.items()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("reader"), "text.reader: missing"),
        (lambda s: s.pop("time_zone"), "text.time_zone: missing"),
        (lambda s: s.update(time_zone="Europe/Berlim"), "is not a time zone of this computer"),
        (lambda s: s.update(time_zone="../Berlin"), "is not a time zone of this computer"),
        (lambda s: s.update(time_zone="Europe"), "is not a time zone of this computer"),
        (lambda s: s.update(fields={}), "fields"),
        (lambda s: s["fields"].update(Lot=s["fields"]["lot"]), "fields.Lot"),
        (_set("lot", box=[0, 0, 3, 9]), "fields.lot.box.2: 3 is not allowed"),
        (_set("lot", pattern="[0-9]+"), r"fields.lot.pattern: .* has no meaning"),
        (_set("lot", kind="txt"), "fields.lot.kind: 'txt' is not allowed: must be one of 'text', 'code'"),
        (_set("code", symbology="pdf417"), "fields.code.symbology"),
        (_expect("part", from_="constant", value="09G", grace="x"), "fields.part.expect.grace: unknown key"),
        (_expect("code", from_="known"), "fields.code.expect.from: 'known' is not allowed: must be one of 'constant'"),
        (_expect("code", from_="given", grace=1), "fields.code.expect.grace: unknown key; did you mean 'grace_s'"),
        (_expect("part", from_="known"), "fields.part.expect.from: 'known' is not allowed: must be one of 'constant'"),
        (_set("part", pattern="[0-9]{3}"), "does not match the field's pattern"),
        (_expect("part", from_="pattern"), "text.fields.part.pattern: missing"),
        (_set("part", pattern="[ ]{3}", expect={"from": "pattern"}), "text.fields.part.pattern: has spaces only"),
        (_expect("part", from_="constant", value="  "), "text.fields.part.expect.value: has spaces only"),
        (_set("serial", pattern="[0-9]{4}S"), "a counter needs a pattern that ends with digits"),
        (_expect("lot", from_="given", printed="LOT"), "must contain {} once"),
        (_expect("date", from_="date", format="%d", day_begins="6:00"), "fields.date.expect.day_begins"),
        (_expect("date", from_="date", format="%d", day_begins="0\u0666:00"), "fields.date.expect.day_begins"),
        (_expect("date", from_="date", format="%d", shift="2 months"), "fields.date.expect.shift: '2 months'"),
        (_expect("lot", from_="code", field="code", ai="10"), "these fields rest on each other: code, lot"),
        (_expect("lot", from_="code", field="cod"), "there is no field 'cod'"),
        (_expect("lot", from_="code", field="part"), "'part' is not a code"),
        (_expect("lot", from_="code", field="code", ai="9876"), "is not an application identifier of GS1"),
        (_expect("lot", from_="template", value="(10){part}"), "a GS1 template is for codes"),
        (_expect("lot", from_="template", value="LOT 7"), "has no value of another field in it"),
        (_expect("code", from_="template", value="(11){date}"), "write {date:%y%m%d}"),
        (_expect("code", from_="template", value="(10){lot:%d}"), "'lot' is not a date rule"),
        (_expect("code", from_="template", value="{lot"), "expected '}'"),
        (_expect("code", from_="constant", value="(01)09501101530004"), "wrong check digit"),
        (
            lambda s: [each.update(pattern="A[0-9]", expect={"from": "pattern"}) for each in s["fields"].values()],
            "no field says anything that does not come from the label itself",
        ),
        (
            lambda s: (_expect("serial", from_="counter", may_differ_by=10)(s), _expect("code", from_="template", value="{serial}{lot}{date:%d}{part}")(s)),
            "more than 100 texts could be right at once",
        ),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        section(change)


def test_a_line_with_codes_only_needs_no_reader():
    only_code = {"fields": {"code": SECTION["fields"]["code"] | {"expect": {"from": "constant", "value": "(10)A"}}}}
    assert checked(TextConfig, only_code, Path("line.yaml")).reader is None
