"""Mutated files as people write them: each loads or is refused in words, and none hangs, ends in a traceback or loads another value.

200 of each kind in a usual run; INSPECTD_FUZZ=5000 makes 5000. Mutation n is the same in every run.
"""

import copy
import csv
import io
import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from inspectd.commands.demo.ground_truth import read_truth
from inspectd.config import Config, load_config
from inspectd.errors import ConfigError, EngineError, InspectdError
from inspectd.files.yaml_file import read_yaml
from inspectd.fleet.config import load_pull_config
from inspectd.gate import GateConfig
from inspectd.inference.manifest import Manifest
from inspectd.section import Section, checked
from inspectd.serve.metrics.config import load_metrics_config
from inspectd.serve.mqtt.config import load_mqtt_config
from inspectd.serve.web.config import load_web_config
from tests.text.test_text_config import SECTION

PROJECT = Path(__file__).parents[1]
MUTATIONS = int(os.environ.get("INSPECTD_FUZZ", "200"))
RAW = [".nan", ".inf", "-.inf", "1e308", "1e999", "-1", "0", "-0.0", "1e-320", "0.5", "99999", "1000000000", "1" * 5000]
RAW += ["10000000000000000000000", "-9223372036854775809", "0x7fffffffffffffff", "1_000", "0o17", "010", "0b11", "0x"]
RAW += ["true", "yes", "on", "off", "null", "~", "''", "'1'", "'١٢'", "\uff19", "12:30:45", "2026-02-30", "2024-13-45"]
RAW += [
    "2001-01-01T99:99:99Z",
    "[]",
    "{}",
    "[1]",
    "{a: 1}",
    "{a: 1, a: 2}",
    "{1: a}",
    "{[a]: 1}",
    "*a",
    "&a [*a]",
    "<<: 1",
]
RAW += [
    '"\\u0000"',
    '"\\ud800"',
    "'a\\nb'",
    '"\\x1b[31mred"',
    "'[/red]'",
    "'../../x'",
    "'%n'",
    "x" * 300,
    "'" + "/x" * 3000 + "'",
]
RAW += [
    "!!python/object:os.system x",
    "!!binary aGk=",
    "!!set {a, b}",
    "!!float 'nan'",
    "!!int ''",
    "!!timestamp x",
    "!!bool maybe",
]
RAW += [
    "=",
    "!!null x",
    "!!omap [a: 1]",
    "!!str 1",
    "|\n    a\n    b",
    "'=1+1'",
    "'a/b'",
    "'..'",
    "' a'",
    "\u202ea",
    "\ufeff",
    "['0\u0666:00']",
    "['06:00', '06:00']",
]


def line_config() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((PROJECT / "systemd" / "line.yaml").read_text())
    values["gate"] |= {"stop_at_reject_share": {"percent": 50, "of_last": 20}, "max_lateness_ms": 5, "stall_ms": 250}
    values["gate"]["output"] |= {"watchdog": {"register_address": 4096, "unit_ms": 100}}
    values["camera"] |= {"exposure_us": 400, "gain_db": 3, "region": {"width_px": 64, "height_px": 48}}
    values["camera"]["trigger"] |= {"debounce_us": 50}
    values["watchdog"] = {"stall_ms": 1000, "exit_after_s": 30}
    values["journal"] |= {"keep_days": 365, "max_mb": 2000, "busy_timeout_ms": 20}
    values["inference"] |= {"threads": 2, "backend": "auto"}
    fields = {name: SECTION["fields"][name] for name in ("lot", "code")}
    code = {"expect": {"from": "template", "value": "(10){lot}"}}
    values["text"] = SECTION | {"fields": copy.deepcopy(fields | {"code": fields["code"] | code})}
    return values


def keys(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from keys(value, (*above, key))


def mutated(values: dict[str, Any], rng: random.Random) -> bytes:
    """YAML with one to three values replaced, removed, added or given twice, and now and then a damaged byte."""
    values, marks = copy.deepcopy(values), {}
    for number in range(rng.choice([1, 1, 1, 2, 3])):
        place: Any = values
        *above, last = rng.choice(list(keys(values)))
        for key in above:
            place = place[key]
        action = rng.random()
        if action < 0.8:
            marks[f"@@{number}@@"] = rng.choice(RAW)
            place[last] = f"@@{number}@@"
        elif action < 0.9:
            place.pop(last)
        elif isinstance(place, dict):
            place[rng.choice(["x", 1, None, "kind", True, (1, 2), "\x1b", "y" * 9999])] = 3
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    for mark, raw in marks.items():
        text = text.replace(f"'{mark}'", raw).replace(mark, raw)
    return damaged(text, rng)


def damaged(text: str, rng: random.Random) -> bytes:
    whole = text.encode("utf-8", "surrogatepass")
    kind = rng.random()
    if kind < 0.05 and whole:
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if kind < 0.08:
        return whole[: rng.randrange(len(whole) + 1)]
    if kind < 0.1:
        return b"x: " + b"[" * rng.choice([10, 3000, 100_000]) + b"]" * 10
    if kind < 0.12:
        return whole + whole
    if kind < 0.14:
        return text.encode(rng.choice(["utf-16", "utf-8-sig", "utf-32", "utf-16-be"]), "replace")
    return whole


def outcomes_of(load: Callable[[Path], Any], path: Path, mutant: Callable[[random.Random], bytes]) -> Counter[str]:
    """Any exception but one of our own is the defect that is looked for; its message must be short and printable."""
    outcomes: Counter[str] = Counter()
    refusals = []
    for number in range(MUTATIONS):
        path.write_bytes(mutant(random.Random(number)))
        try:
            loaded = load(path)
        except InspectdError as error:
            refusals.append((number, error))
        else:
            assert all(math.isfinite(value) for value in numbers(loaded)), number
            outcomes["loaded"] += 1
    for number, error in refusals:
        assert error.exit_code == 78, number
        assert str(path) in str(error), number
        assert len(str(error)) < 6000, number
        assert str(error).replace("\n", "").isprintable(), number
    outcomes["refused"] = len(refusals)
    print(path.name, dict(outcomes))
    return outcomes


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.timeout(60 + MUTATIONS // 5)
def test_a_mutated_line_config_loads_or_is_refused(tmp_path: Path) -> None:
    values = line_config()

    def load(path: Path) -> Config:
        config = load_config(path)
        # as the gate's process gets it
        assert GateConfig.model_validate_json(config.gate.model_dump_json()) == config.gate
        config.model_dump_json().encode()
        return config

    outcomes = outcomes_of(load, tmp_path / "line.yaml", lambda rng: mutated(values, rng))
    assert outcomes["loaded"] > 0 < outcomes["refused"]


SERVICES: dict[str, tuple[Callable[[Path], Section], dict[str, Any]]] = {
    "web": (
        load_web_config,
        {
            "tls": {"certificate": "page.pem", "key": "page.key"},
            "public_url": "https://line-1.example",
            "behind_proxy": ["10.0.0.1"],
            "idle_minutes": 60,
            "audit_share": 0.01,
            "shifts": ["06:00", "14:00"],
        },
    ),
    "metrics": (load_metrics_config, {"host": "127.0.0.1", "port": 9440, "pull": "pulled"}),
    "mqtt": (load_mqtt_config, {"prefix": "inspectd", "most_per_s": 500}),
    "pull": (load_pull_config, {"ca": "ca.pem", "activate": True, "keep": 3, "within_minutes": 10}),
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_mutated_config_of_a_service_loads_or_is_refused(tmp_path: Path, name: str) -> None:
    load, more = SERVICES[name]
    values = read_yaml(PROJECT / "systemd" / f"{name}.yaml", "") | more

    def load_and_use(path: Path) -> Section:
        config = load(path)
        for key, value in vars(type(config)).items():
            if isinstance(value, property):
                getattr(config, key)
        return config

    outcomes = outcomes_of(load_and_use, tmp_path / f"{name}.yaml", lambda rng: mutated(values, rng))
    assert outcomes["loaded"] > 0 < outcomes["refused"]


@pytest.mark.timeout(60 + MUTATIONS // 2)
def test_a_mutated_engine_manifest_loads_or_is_refused(tmp_path: Path) -> None:
    from inspectd.inference.sealed import parse, seal

    whole = yaml.safe_load((PROJECT / "engines/filter-label/engine.yaml").read_bytes())
    whole["precisions"], whole["recommended"] = {}, "fp32"
    whole["training"] = {"seed": 1}

    def load(path: Path) -> Manifest:
        return checked(Manifest, parse(path, path.read_bytes()), path, EngineError)

    assert outcomes_of(load, tmp_path / "engine.yaml", lambda rng: seal(mutated(whole, rng) + b"\n"))["refused"]


@pytest.mark.timeout(60 + MUTATIONS // 2)
@pytest.mark.parametrize("name", ["compose-filter-label", "experiments/experiment_4"])
def test_a_mutated_file_of_the_tools_loads_or_is_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    from inspectd_tools.experiments.config import load_experiment
    from inspectd_tools.synthetic.compose.config import load_compose_config

    load: Callable[[Path], Any] = load_experiment if "experiments" in name else load_compose_config
    values = read_yaml(PROJECT / "config" / f"{name}.yaml", "")
    assert outcomes_of(load, tmp_path / "file.yaml", lambda rng: mutated(values, rng))["refused"]


NO_NUMBERS = ["true", "false", "'5'", "'1e3'", ".inf", "-.inf", ".nan", "1e999", "1" + "0" * 30, "'0x10'", "'NaN'"]


@pytest.mark.parametrize("name", ["line", "training", "experiment"])
def test_nothing_else_is_taken_for_a_number(tmp_path: Path, name: str) -> None:
    """Every number of a file in turn. JSON's own NaN and Infinity, too, where the file is JSON."""
    pytest.importorskip("torch")
    from inspectd_tools.experiments.config import load_experiment
    from inspectd_tools.settings import load_settings

    path = tmp_path / ("line.json" if name == "training" else "line.yaml")
    values = line_config() if name == "line" else read_yaml(PROJECT / "config/experiments/experiment_4.yaml", "")
    if name == "training":
        shipped = PROJECT / "config" / "training"
        (tmp_path / "default.json").write_bytes((shipped / "default.json").read_bytes())
        values = json.loads((shipped / "default.json").read_text())
        values |= json.loads((shipped / "duq-cifar10.json").read_text()) | {"epoch_images": 100}
    load: Callable[[Path], Any] = {
        "line": load_config,
        "training": lambda path: load_settings(path.stem, [], path.parent),
        "experiment": load_experiment,
    }[name]
    whole = yaml.safe_dump(values) if name != "training" else json.dumps(values)
    path.write_text(whole)
    load(path)
    kinds = ["true", '"5"', "NaN", "Infinity", "-Infinity", "1e999", "1" * 30] if name == "training" else NO_NUMBERS
    accepted = []
    for place in list(keys(values)):
        changed = copy.deepcopy(values)
        *above, last = place
        section = changed
        for key in above:
            section = section[key]
        if isinstance(section[last], bool) or not isinstance(section[last], int | float):
            continue
        section[last] = "@@"
        text = json.dumps(changed) if name == "training" else yaml.safe_dump(changed)
        for raw in kinds:
            path.write_text(text.replace('"@@"' if name == "training" else "'@@'", raw))
            try:
                load(path)
            except ConfigError:
                continue
            accepted.append((place, raw))
    assert not accepted


@pytest.mark.timeout(60 + MUTATIONS // 5)
def test_mutated_training_settings_load_or_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from inspectd_tools.settings import load_settings

    experiments = PROJECT / "config" / "training"
    (tmp_path / "default.json").write_bytes((experiments / "default.json").read_bytes())
    whole = json.loads((experiments / "filter-label.json").read_text())
    whole |= json.loads((experiments / "default.json").read_text())

    def mutant(rng: random.Random) -> bytes:
        text = json.dumps(whole, indent=1)
        for _ in range(rng.choice([1, 1, 2])):
            old = rng.choice([json.dumps(value) for value in whole.values() if not isinstance(value, dict)])
            new = rng.choice(
                [*RAW, "NaN", "Infinity", '"\\ud800"', '{"a": 1, "a": 2}', "[" * 5000, '"=1"', '["a", "a/b"]']
            )
            text = text.replace(old, new, 1)
        return damaged(text, rng)

    assert outcomes_of(lambda path: load_settings(path.stem, (), tmp_path), tmp_path / "mine.json", mutant)["refused"]


@pytest.mark.timeout(60 + MUTATIONS // 5)
def test_a_mutated_table_loads_or_is_refused(tmp_path: Path) -> None:
    from inspectd_tools.data.manifest import SPLITS, read_manifest

    rows = [["path", "class", "label", "split", "group", "sha256"]]
    rows += [[f"{n}.png", f"class {n % 2}", str(n % 2), SPLITS[n // 2 % 3], f"g{n}", f"{n:064}"] for n in range(12)]
    outcomes = outcomes_of(read_manifest, tmp_path / "UP.CSV", lambda rng: mutated_table(rows, rng))
    assert outcomes["loaded"] > 0 < outcomes["refused"]


def mutated_table(rows: list[list[str]], rng: random.Random) -> bytes:
    rows = copy.deepcopy(rows)
    if rng.random() < 0.7:
        row = rng.choice(rows)
        cell = rng.randrange(len(row))
        new = [
            "",
            "\0",
            '"',
            "\n",
            "\r",
            "\ud800",
            "=1",
            "a/b",
            "-1",
            "1" * 5000,
            "x" * 200_000,
            "\uff11",
            "test",
            "unknown_x",
        ]
        rng.choice([lambda: row.__setitem__(cell, rng.choice(new)), lambda: row.pop(cell), lambda: row.append("x")])()
    paper = io.StringIO()
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    separator, end = rng.choice(",;\t"), rng.choice(["\n", "\r\n"])
    csv.writer(paper, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return damaged(paper.getvalue(), rng)


def test_a_mutated_truth_loads_or_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    rows = [["file", "class", "kind"], ["a.png", "good", ""]]
    outcomes_of(
        lambda path: read_truth(path.parent, ["good"]), tmp_path / "truth.csv", lambda rng: mutated_table(rows, rng)
    )
