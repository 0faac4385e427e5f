"""Set-up: the config with its sentences, and the check."""

import time

from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from inspectd.config import Config
from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.app import make_app
from inspectd.serve.web.key_list import Key, key_list
from tests.serve.web.conftest import login_fields

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
@example({"kind": {}})
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


def test_an_engineer_checks_the_line_and_everybody_sees_what_was_found(plant):
    with TestClient(make_app(plant.site), "http://localhost", follow_redirects=False) as asking:
        asking.post("/login", data=login_fields(Role.ENGINEER, asking.get("/login").text))
        page = asking.get("/setup").text
        assert "Nobody has checked the line" in page
        token = page.partition('name="csrf" content="')[2].partition('"')[0]
        assert asking.post("/setup/check", data={"csrf": token}).headers["location"] == "/setup"
        end_s = time.monotonic() + 120
        while 'hx-trigger="every 1s"' in (panel := asking.get("/setup/check").text):
            assert time.monotonic() < end_s, panel
            time.sleep(0.05)
        assert "No check failed" in panel
        assert "toy 1.0.0 on openvino" in panel
        assert "sudo -u inspectd inspectd check" in panel
        assert panel in asking.get("/setup").text


def test_an_operator_may_not_check(client):
    assert client(Role.OPERATOR).post("/setup/check").status_code == 403
