"""No two signals of an output may have the same channel."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import ConfigError
from inspectd.gate import GateConfig
from inspectd.gate.config import OutputConfig
from inspectd.section import Section, checked

FEW = st.integers(0, 3)
REGISTERS = {"heartbeat_register", "watchdog.register_address"}
CHANNELS: dict[str, list[set[str]]] = {
    "simulated": [],
    "modbus": [{"actuator_coil", "run_permit_coil"}, REGISTERS, {"confirmation_input"}],
    "gpio": [{"actuator_line", "run_permit_line", "heartbeat_line", "confirmation_line"}],
    "camera": [{"line", "permit_line"}],
}
"""Per kind of output: keys whose channels must differ."""
OTHERS: dict[str, dict[str, Any]] = {
    "simulated": {"record": "o.jsonl"},
    "modbus": {"host": "plc", "actuator_coil": 100, "watchdog": {"unit_ms": 1, "register_address": 100}},
    "gpio": {"actuator_line": 100},
    "camera": {},
}
KINDS: dict[str, type[Section]] = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(OutputConfig)[0])
}


def channels_of(section: type[Section], above: str = "") -> Iterator[str]:
    """Every key that names a channel."""
    for key, field in section.model_fields.items():
        if key.split("_")[-1] in ("coil", "line", "input", "register", "address"):
            yield above + key
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from channels_of(kind, f"{above}{key}.")


def load(output: dict[str, Any]) -> GateConfig:
    gate = {"wiring": "pulse_to_reject", "delay_ms": 100, "width_ms": 20, "output": output}
    return checked(GateConfig, gate, Path("line.yaml"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_channel_of_an_output_is_tested(kind):
    assert set(channels_of(KINDS[kind])) == set().union(*CHANNELS[kind])


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_two_signals_never_share_a_channel(kind, data):
    wired: dict[str, Any] = {}
    for key in sorted(set().union(*CHANNELS[kind])):
        number = data.draw(st.none() | FEW, label=key)
        if number is not None:
            wired[key] = number if kind == "modbus" else data.draw(st.sampled_from([str(number), f"Line{number}"]))
            if kind == "gpio" and data.draw(st.booleans()):
                wired[key] = number
    output = {"kind": kind, **OTHERS[kind]}
    for key, channel in wired.items():
        if key == "watchdog.register_address":
            output["watchdog"] = {**output["watchdog"], "register_address": channel}
        else:
            output[key] = channel
    shared = [
        (one, other)
        for keys in CHANNELS[kind]
        for one, other in combinations(sorted(keys & wired.keys()), 2)
        if str(wired[one]) == str(wired[other])
    ]
    if not shared:
        load(output)
        return
    with pytest.raises(ConfigError) as error:
        load(output)
    said = str(error.value)
    assert any(f"gate.output.{one} (" in said and f"gate.output.{other} (" in said for one, other in shared)
    assert "must differ from" in said


def test_two_lines_never_share_a_heartbeat():
    """A plant must not take one line for alive because the other one is."""
    outputs = [
        load({"kind": "modbus", "host": "127.0.0.1", "actuator_coil": coil, "heartbeat_register": 7}).output
        for coil in (0, 1)
    ]
    assert set(outputs[0].devices) & set(outputs[1].devices) == {"output modbus 127.0.0.1:502 unit 1 register 7"}
