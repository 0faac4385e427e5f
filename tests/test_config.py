"""One file configures a line: every error at once, each with its key, its value and what is allowed."""

import contextlib
import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inspectd.config import config_schema, load_config
from inspectd.errors import ConfigError

PROJECT = Path(__file__).parents[1]
GOOD = {
    "engine": "engines/toy",
    "camera": {"kind": "replay", "source": "images", "max_age_ms": 80},
    "gate": {
        "wiring": "pulse_to_reject",
        "delay_ms": 120,
        "width_ms": 30,
        "output": {"kind": "simulated", "record": "o.jsonl"},
    },
    "journal": {"path": "journal.sqlite"},
}


def write(folder: Path, values: object) -> Path:
    path = folder / "line.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def changed(**changes: object) -> dict:
    """GOOD with `camera__rate_hz=5` set as camera.rate_hz."""
    values = copy.deepcopy(GOOD)
    for name, value in changes.items():
        *sections, key = name.split("__")
        place = values
        for section in sections:
            place = place[section]
        place[key] = value
    return values


def test_paths_are_relative_to_the_file(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.engine == tmp_path / "engines/toy"
    assert config.journal.path == tmp_path / "journal.sqlite"


@pytest.mark.parametrize("key", ["trigger", "exposure_us", "tempo"])
def test_a_key_of_another_section_is_not_proposed(tmp_path, key):
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path, changed(**{f"gate__{key}": 5})))
    assert str(error.value).endswith(f"gate.{key}: unknown key")


def test_a_key_that_is_missing_is_proposed_first(tmp_path):
    values = changed(gate__delay_max=100)
    del values["gate"]["delay_ms"]
    with pytest.raises(ConfigError, match="did you mean 'delay_ms'"):
        load_config(write(tmp_path, values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (changed(camera__rate_hz=0), ["camera.rate_hz", "0", "greater than or equal to 0.01"]),
        (changed(camera__exposure_us=5), ["camera.exposure_us", "unknown key"]),
        (changed(camera__ratehz=5), ["camera.ratehz", "did you mean 'rate_hz'"]),
        (changed(gate__width=5), ["gate.width: unknown key; did you mean 'width_ms'?"]),
        (changed(camera__rat={}, camera__max_age=5), ["camera.max_age: unknown key; did you mean 'max_age_ms'?"]),
        (changed(gate__pitch_ms=20), ["\n  gate.width_ms (30) must be shorter"]),
        (changed(gate__wiring="other"), ["gate.wiring", "'other'", "pulse_to_reject", "pulse_to_release"]),
        (changed(gate__output={"kind": "modbus"}), ["gate.output.host", "missing"]),
        (changed(gate__output={"kind": "telepathy"}), ["gate.output", "telepathy", "simulated"]),
        (changed(gate__output={"kind": "camera", "line": "UserOutput1"}), ["gate.output.kind", "pylon"]),
        (changed(camera__max_age_ms=121), ["camera.max_age_ms (121)", "gate.delay_ms (120)"]),
        (changed(name="a/b"), ["name", "a/b"]),
        (changed(journal={}), ["journal.path", "missing"]),
        ("a: [", ["is not valid YAML", "line 1"]),
        ("", ["must contain keys", "NoneType"]),
        ("- 1", ["must contain keys", "list"]),
        ("engine: !!python/object/apply:os.system ['true']", ["is not valid YAML"]),
    ],
)
def test_an_error_says_where_what_and_what_is_allowed(tmp_path, values, words):
    path = write(tmp_path, values)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_all_errors_come_at_once(tmp_path):
    values = changed(camera__rate_hz=-1, gate__width_ms="wide", nonsense=1)
    with pytest.raises(ConfigError, match=re.escape("3 error(s)")) as error:
        load_config(write(tmp_path, values))
    assert len(str(error.value).splitlines()) == 4


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: can't be read: No such file"):
        load_config(tmp_path / "nowhere.yaml")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [
        "camera",
        "camera__kind",
        "camera__source",
        "gate",
        "gate__delay_ms",
        "gate__output",
        "journal",
        "engine",
        "archive",
    ]
)


@given(st.dictionaries(PLACES, JSON, max_size=1))
def test_whatever_stands_in_the_file_it_is_a_config_or_a_config_error(tmp_path_factory, changes):
    path = write(tmp_path_factory.mktemp("any"), changed(**changes))
    with contextlib.suppress(ConfigError):
        load_config(path)


def test_every_config_we_ship_or_print_in_the_readme_is_one(tmp_path):
    load_config(PROJECT / "config" / "demo.yaml")
    load_config(PROJECT / "systemd" / "line.yaml")
    (example,) = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs/line/configuration.md").read_text(), re.DOTALL)
    load_config(write(tmp_path, example))


def test_the_schema_knows_every_section():
    schema = json.loads(config_schema())
    assert {"engine", "camera", "gate", "journal", "archive", "watchdog"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False


def test_every_key_is_described_in_sentences():
    schema = json.loads(config_schema())
    poor = [
        f"{section}.{key}: {text!r}"
        for section, values in [("Config", schema), *schema["$defs"].items()]
        for key, value in values.get("properties", {}).items()
        if not re.match(r"[^ ].{15,}[.!]$", text := value.get("description", ""), re.DOTALL)
    ]
    assert poor == []
