"""Every key that an error names is a key of the config file."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inspectd.config import Config
from inspectd.config_errors import sentences
from inspectd.errors import ConfigError
from inspectd.inference.manifest import Manifest
from inspectd.section import checked

CAMERAS: list[dict[str, Any]] = [
    {"kind": "replay", "source": "images"},
    {"kind": "opencv", "device": 0},
    {"kind": "pylon", "trigger": {"source": "free_run"}, "emulated": {"images": "x"}},
    {"kind": "pylon", "trigger": {"source": "software", "rate_hz": 5}, "region": {"width_px": 64, "height_px": 64}},
    {"kind": "pylon", "trigger": {"source": "line", "line": "Line1", "debounce_us": 5}},
]
OUTPUTS: list[dict[str, Any]] = [
    {"kind": "simulated", "record": "o.jsonl"},
    {"kind": "camera", "line": "UserOutput1", "active_high": True},
    {"kind": "gpio", "chip": "/dev/gpiochip0", "actuator_line": 1},
    {"kind": "modbus", "host": "plc", "actuator_coil": 1, "watchdog": {"register_address": 4096, "unit_ms": 100}},
]
OTHERS: dict[str, Any] = {
    "engine": "engines/toy",
    "inference": {"threads": 2},
    "journal": {"path": "journal.sqlite"},
    "archive": {"folder": "archive"},
    "watchdog": {"stall_ms": 500},
}
GATE = {
    "wiring": "pulse_to_reject",
    "delay_ms": 200,
    "width_ms": 30,
    "stop_at_reject_share": {"percent": 5, "of_last": 9},
}
WRONG = st.sampled_from([None, "", "line", [], [1], {}, {"x": 1}, {"kind": "line"}, True, -1, 0.5, 10**9])


def places(node: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def is_a_key(key: str, schema: dict[str, Any]) -> bool:
    """Whether some alternative of the schema has this key."""

    def alternatives(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/")[-1]]
        yield node
        for each in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            yield from alternatives(each)

    nodes = [schema]
    for part in key.split("."):
        nodes = [
            alternative["properties"][part]
            for node in nodes
            for alternative in alternatives(node)
            if part in alternative.get("properties", {})
        ]
    return bool(nodes)


@given(st.sampled_from(CAMERAS), st.sampled_from(OUTPUTS), st.data())
def test_every_key_that_an_error_names_is_in_the_schema(camera, output, data):
    values = copy.deepcopy({**OTHERS, "camera": camera, "gate": {**GATE, "output": output}})
    for *above, last in data.draw(st.lists(st.sampled_from(list(places(values))), max_size=4)):
        node: Any = values
        for key in above:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict) and data.draw(st.booleans()):
            node.pop(last, None)
        elif isinstance(node, dict):
            node[last] = copy.deepcopy(data.draw(WRONG))
    try:
        checked(Config, values, Path("line.yaml"))
    except ConfigError as error:
        schema = Config.model_json_schema()
        for line in str(error).splitlines()[1:]:
            key, _, problem = line.strip().partition(":")
            if "unknown key" in problem:
                key = key.rpartition(".")[0]
            assert not key or is_a_key(key.split(" (")[0], schema), line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"camera": {**CAMERAS[4], "trigger": {"source": "line", "line": "Line1", "debounce_us": "x"}}}, "camera.trigger.debounce_us: 'x'"),
        ({"camera": {**CAMERAS[3], "trigger": {"source": "software"}}}, "camera.trigger.rate_hz: missing"),
        ({"camera": {"kind": "pylon", "trigger": {"source": "luck"}}}, "camera.trigger.source: 'luck' is not allowed"),
        ({"camera": {"source": "images"}}, "camera.kind: missing"),
        ({"gate": {**GATE, "output": {**OUTPUTS[1], "active_high": "x"}}}, "gate.output.active_high: 'x'"),
        ({"gate": {**GATE, "output": {**OUTPUTS[1], "activehigh": 1}}}, "gate.output.activehigh: unknown key; did you mean 'active_high'?"),
        ({"camera": {"kind": "opencv", "device": 1.5}}, "camera.device: 1.5 is not allowed: must be a valid integer, or must be text"),
    ],
)  # fmt: skip
def test_the_kind_of_a_camera_trigger_or_output_is_not_part_of_the_key(changes, said):
    values = {**OTHERS, "camera": CAMERAS[0], "gate": {**GATE, "output": OUTPUTS[0]}} | changes
    with pytest.raises(ConfigError) as error:
        checked(Config, values, Path("line.yaml"))
    assert said in str(error.value)


def test_places_in_lists_and_names_of_classes_are_part_of_the_key():
    scores = {"golden_scores": [{"a": "x"}], "threshold": {}}
    with pytest.raises(ValidationError) as error:
        Manifest.model_validate({"precisions": {"int8": scores}, "classes": ["a", 1]})
    said = sentences(error.value, Manifest)
    assert "classes.1: 1 is not allowed: must be text: put it in quotes" in said
    assert "precisions.int8.threshold.value: missing" in said
