"""Set-up: the config with its sentences, and the check."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.config import Config
from inspectd.serve.web.access import Role
from inspectd.serve.web.key_list import Key, key_list

_SCHEMA = Config.model_json_schema()


def _flat(keys: tuple[Key, ...]) -> dict[str, Key]:
    return {key.path: key for section in keys for key in (section, *_flat(section.keys).values())}


def test_every_key_has_its_value_its_unit_and_its_sentence(plant):
    keys = _flat(key_list(plant.site.line.config, plant.site.line.schema))
    assert keys["gate.delay_ms"].value == "120 ms"
    assert "at the rejector" in keys["gate.delay_ms"].sentence
    assert (keys["watchdog.stall_ms"].value, keys["watchdog.stall_ms"].is_default) == ("1000 ms", True)
    assert not keys["gate.delay_ms"].is_default
    assert [path for path, key in keys.items() if not key.sentence] == []


def test_fields_of_text_are_described_too(plant):
    text = {"reader": None, "fields": {"lot": {"kind": "text", "box": [1, 2, 30, 40], "expect": {"from": "given"}}}}
    keys = _flat(key_list({**plant.site.line.config, "text": text}, plant.site.line.schema))
    assert "straightened print" in keys["text.fields.lot.box"].sentence
    assert keys["text.fields.lot.expect.from"].sentence


@settings(max_examples=30)
@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_any_config_is_shown(value):
    keys = key_list({"name": value, "gate": {"output": value}}, _SCHEMA)
    assert {key.path for key in keys} == {"name", "gate"}


def test_the_page_shows_the_file_as_it_is_now_and_says_if_it_is_broken(client, plant):
    viewer = client(Role.VIEWER)
    assert "pulse_to_reject" in viewer.get("/setup/config").text
    file = plant.site.line.file
    before = file.read_text()
    file.write_text(before.replace("wiring: pulse_to_reject", "wiring: <b>none</b>"))
    try:
        answer = viewer.get("/setup/config").text
        assert "The line could not start with this file" in answer
        assert "gate.wiring" in answer
        assert "<b>none" not in answer
        assert "still has the config that it read before" in answer
    finally:
        file.write_text(before)


@pytest.mark.slow
def test_an_engineer_checks_the_line_and_everybody_sees_what_was_found(open_page):
    page = open_page("/setup", Role.ENGINEER)
    page.get_by_role("button", name="Check the line").click()
    page.get_by_text("No check failed").wait_for(timeout=20_000)
    assert page.get_by_role("rowheader", name="engine", exact=True).first.is_visible()
    assert page.get_by_text("sudo -u inspectd inspectd check").is_visible()
    assert page.get_by_text("pulse_to_reject", exact=True).is_visible()


def test_an_operator_may_not_check(client):
    assert client(Role.OPERATOR).post("/setup/check").status_code == 403
