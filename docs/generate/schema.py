"""Reference of the files that people write, from the pydantic models that check them."""

import json
from collections.abc import Iterator
from typing import Any

from prose import code, paragraphs, prose, table
from pydantic import BaseModel

from inspectd.config import Config
from inspectd.files.json_file import read_json
from inspectd.fleet.config import PullConfig
from inspectd.inference.manifest import Manifest
from inspectd.serve.metrics.config import MetricsConfig
from inspectd.serve.mqtt.config import MqttConfig
from inspectd.serve.mqtt.messages import (
    GapMessage,
    OutageMessage,
    PartMessage,
    SessionMessage,
    StateMessage,
    StopMessage,
)
from inspectd.serve.web.config import WebConfig
from inspectd_tools.experiments.config import FOLDER as EXPERIMENTS
from inspectd_tools.experiments.config import Experiment
from inspectd_tools.settings import FOLDER, TrainingSettings

_UNITS = {
    "ms": "ms", "us": "µs", "s": "s", "px": "px", "hz": "Hz", "gb": "GB", "mb": "MB", "days": "days",
}  # fmt: skip
_NULL = "`null` means that the key is not set."
_LONG = 200
"""Characters. A longer text is printed once per page."""
_HEAD = ("key", "meaning", "type", "unit", "default", "photos", "allowed")

_BUNDLE = {
    "engine.yaml": "Describes the engine. Lists the model files and golden images with their SHA-256.",
    "model.onnx, openvino/, openvino-int8/, tensorrt/": "The network, for each backend and precision that was built.",
    "guard.npz": "The guard, which sees small faults, if `fit_guard.py` has added one.",
    "golden/": "One camera image per class, and one of an unknown kind, with known scores. They are run at each load.",
    "card.md, card.html, explanations.jpg": "The card for people: guarantee, performance, small faults, and where the engine looks.",
    "threshold.csv, threshold.png": "What other thresholds would pass and reject.",
    "learning.npz": "Features and guard scores of the photos that it was fitted to and calibrated with, for `inspectd learn`. The line does not use them.",
    "engine.yaml.sig": "The signature of `engine.yaml`, if somebody has signed the engine.",
}

Schema = dict[str, Any]


def line_config() -> str:
    return _page(
        Config.model_json_schema(),
        "Line config",
        "One YAML file configures one line. An unknown key is an error. `inspectd schema` prints the same as a JSON schema, "
        "for editors. [Configuration](../line/configuration.md) has an example with comments. Relative paths start at the "
        f"folder of the config file. {_NULL}",
    )


def page_config() -> str:
    return _page(
        WebConfig.model_json_schema(),
        "Page config",
        "One YAML file configures the operator's page. An unknown key is an error. `inspectd schema --page` prints the same as a "
        "JSON schema, for editors. [The operator's page](../line/page.md) has examples. Relative paths start at the folder of the "
        f"config file. {_NULL}",
    )


def metrics_config() -> str:
    return _page(
        MetricsConfig.model_json_schema(),
        "Metrics config",
        "One YAML file configures `inspectd serve metrics`. An unknown key is an error. `inspectd schema --metrics` prints the same as a "
        "JSON schema, for editors. [Metrics](../line/metrics.md) has an example. Relative paths start at the folder of the config "
        f"file. {_NULL}",
    )


def mqtt_config() -> str:
    return _page(
        MqttConfig.model_json_schema(),
        "MQTT config",
        "One YAML file configures `inspectd serve mqtt`. An unknown key is an error. `inspectd schema --mqtt` prints the same as a "
        "JSON schema, for editors. [MQTT](../line/mqtt.md) has examples. Relative paths start at the folder of the config "
        f"file. {_NULL}",
    )


def mqtt_messages() -> str:
    """Each message with its keys."""
    sections = [
        _section_of(message)
        for message in (PartMessage, StopMessage, OutageMessage, SessionMessage, GapMessage, StateMessage)
    ]
    head = (
        "What `inspectd serve mqtt` publishes, as JSON. `version` is 1. With another version, keys may be gone or mean something else; "
        "new keys may come at any time. `inspectd schema --mqtt-messages` prints the JSON schema. [MQTT](../line/mqtt.md) says how to use "
        "them. Topics begin with `inspectd/` and the name of the line."
    )
    return "\n\n".join(["# MQTT messages", head, *sections]) + "\n"


def _section_of(message: type[BaseModel]) -> str:
    """Its sections begin with the message's name. A message always has all its keys, so none has a default."""
    schema = message.model_json_schema()
    for section in (schema, *schema.get("$defs", {}).values()):
        section.pop("required", None)
        for key in section["properties"].values():
            key.pop("default", None)
    kind = schema["properties"]["kind"].pop("const")
    schema["properties"]["kind"]["description"] = f"Always `{kind}`."
    return "\n\n".join(_sections(schema, schema, kind, {}))


def pull_config() -> str:
    return _page(
        PullConfig.model_json_schema(),
        "Pull config",
        "One YAML file configures `inspectd engines pull`. An unknown key is an error. `inspectd schema --pull` prints the same as a "
        f"JSON schema, for editors. [Many lines](../line/fleet.md) has an example. Relative paths start at the folder of the config file. {_NULL}",
    )


def training_settings() -> str:
    default, photos = (dict(read_json(FOLDER / f"{name}.json")) for name in ("default", "photos"))
    return _page(
        _with_defaults(TrainingSettings.model_json_schema(), default, photos),
        "Training settings",
        "A file of `config/training` in JSON. Keys that a file leaves out come from `config/training/default.json`. "
        '`--set key=value` changes one key, `--set \'input.region={"left":0.2,"top":0.1,"right":0.8,"bottom":0.9}\'` a section. '
        "*default* is the value of `default.json`, *photos* what `photos.json` changes. "
        f"{_NULL} [Settings](../training/settings.md) says which ones to try first.",
    )


def experiment_file() -> str:
    return _page(
        Experiment.model_json_schema(),
        "Experiment files",
        "A file of `config/experiments` in YAML: a question, what varies, what is measured and what was claimed. "
        "[Experiments](../training/experiments.md) says how to run one. *The thesis* is the thesis that this project began with; "
        "its experiments are the files of `config/experiments`.",
        f"## Example\n\n```yaml\n{(EXPERIMENTS / 'experiment_2.yaml').read_text().strip()}\n```",
    )


def engine_bundle() -> str:
    return _page(
        Manifest.model_json_schema(),
        "Engine bundle",
        "An engine is a folder. `build_engine.py` writes it; `inspectd` checks it at each load.\n\n"
        + table(("file", "content"), [(code(name), about) for name, about in _BUNDLE.items()])
        + "\n\nThe sections below describe `engine.yaml`.",
    )


def _with_defaults(schema: Schema, default: Schema, photos: Schema) -> Schema:
    """The schema with the values of `default.json`, and those that `photos.json` changes, also in the section `input`."""
    properties = {}
    for name, key in schema["properties"].items():
        properties[name] = dict(key)
        section = schema["$defs"].get(key.get("$ref", "").rsplit("/", 1)[-1])
        if section and name in default:
            inner = _with_defaults(section | {"$defs": schema["$defs"]}, default[name], photos.get(name, {}))
            section |= {"properties": inner["properties"], "required": inner["required"]}
            continue
        if name in default:
            properties[name]["default"] = default[name]
        if name in photos and photos[name] != default.get(name):
            properties[name]["photos"] = photos[name]
    required = [name for name in schema.get("required", ()) if name not in default]
    return schema | {"properties": properties, "required": required}


def _page(schema: Schema, title: str, about: str, end: str = "") -> str:
    sections = list(_sections(schema, schema, "", {}))
    return "\n\n".join([f"# {title}", about, *sections, *filter(None, [end])]) + "\n"


def _sections(schema: Schema, section: Schema, path: str, said: dict[str, str]) -> Iterator[str]:
    """`section` and all that it leads to, each with its table of keys. `said`: what the page has explained, and where."""
    named = next((section["properties"][key] for key in ("kind", "from", "source") if key in section["properties"]), {})
    kind = named.get("const", next(iter(named.get("enum", ())), None))
    heading = path + (f" ({kind})" if kind else "")
    if heading:
        yield f"## {heading}"
    if (earlier := said.setdefault(json.dumps(section), heading)) != heading:
        yield f"The same keys as {code(earlier)}."
        return
    if section.get("description"):
        yield paragraphs(section["description"])
    required = section.get("required", [])
    rows = []
    for name, key in section["properties"].items():
        row = _row(schema, name, key, name in required)
        if len(row[1]) > _LONG and (earlier := said.setdefault(row[1], heading)) != heading:
            row = (row[0], f"As in {code(earlier)}.", *row[2:])
        rows.append(row)
    columns = [column for column in zip(_HEAD, *rows, strict=True) if any(column[1:])]
    head, *rows = zip(*columns, strict=True)
    yield table(head, rows)
    for name, key in section["properties"].items():
        for inner, suffix in _inner(schema, key):
            yield from _sections(schema, inner, f"{path}.{name}{suffix}".lstrip("."), said)


def _inner(schema: Schema, key: Schema) -> Iterator[tuple[Schema, str]]:
    """The sections that a key holds, and what is written after its name to get there."""
    if "$ref" in key:
        section = schema["$defs"][key["$ref"].rsplit("/", 1)[1]]
        if "properties" in section:
            yield section, ""
    for each in (*key.get("anyOf", ()), *key.get("oneOf", ())):
        yield from _inner(schema, each)
    for each in (key.get("items"), *key.get("prefixItems", ())):
        if isinstance(each, dict):
            yield from ((section, f"[]{suffix}") for section, suffix in _inner(schema, each))
    for each in (key.get("additionalProperties"), *key.get("patternProperties", {}).values()):
        if isinstance(each, dict):
            yield from ((section, f".NAME{suffix}") for section, suffix in _inner(schema, each))


def _row(schema: Schema, name: str, key: Schema, is_required: bool) -> tuple[str, ...]:
    default = "must be given" if is_required else code(json.dumps(key["default"])) if "default" in key else ""
    return (
        code(name),
        prose(_meaning(schema, key)),
        _type(schema, key),
        _UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else "",
        "see below" if isinstance(key.get("default"), dict) else default,
        code(json.dumps(key["photos"])) if "photos" in key else "",
        _allowed(key),
    )


def _meaning(schema: Schema, key: Schema) -> str:
    if key.get("description"):
        return str(key["description"])
    if "const" in key or "enum" in key:
        return "Chooses the keys of this section."
    inner = [section for section, _ in _inner(schema, key)]
    return str(inner[0].get("description", "")) if len(inner) == 1 else ""


def _type(schema: Schema, key: Schema) -> str:
    variants = [*key.get("anyOf", ()), *key.get("oneOf", ())]
    if variants:
        return " or ".join(dict.fromkeys(_type(schema, each) for each in variants))
    if "$ref" in key:
        section = schema["$defs"][key["$ref"].rsplit("/", 1)[1]]
        return "section" if "properties" in section else _type(schema, section) if section else "any"
    if key.get("format") == "path":
        return "path"
    kind = str(key.get("type", "one of" if "enum" in key else "any"))
    words = {"string": "text", "boolean": "switch", "object": "map", "array": "list", "null": "nothing"}
    return words.get(kind, kind)


def _allowed(key: Schema) -> str:
    variants = [_allowed(each) for each in (*key.get("anyOf", ()), *key.get("oneOf", ()))]
    if "const" in key:
        return code(key["const"])
    if "enum" in key:
        return ", ".join(code(value) for value in key["enum"])
    limits = []
    if "exclusiveMinimum" in key:
        limits.append(f"above {_number(key['exclusiveMinimum'])}")
    if "minimum" in key:
        limits.append(f"{_number(key['minimum'])} or more")
    if "exclusiveMaximum" in key:
        limits.append(f"below {_number(key['exclusiveMaximum'])}")
    if "maximum" in key:
        limits.append(f"at most {_number(key['maximum'])}")
    if "pattern" in key:
        limits.append(f"as `{key['pattern']}`")
    return "; ".join([*(each for each in variants if each), *([", ".join(limits)] if limits else [])])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
