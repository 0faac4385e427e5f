"""Reference of the files that people write, from the pydantic models that check them."""

import json
from collections.abc import Iterator
from typing import Any

from prose import code, paragraphs, prose, table
from pydantic import BaseModel

from inspectd.config import Config
from inspectd.inference.manifest import Manifest
from inspectd_tools.experiments.config import Experiment
from inspectd_tools.settings import TrainingSettings

_UNITS = {
    "ms": "ms", "us": "µs", "s": "s", "px": "px", "hz": "Hz", "gb": "GB", "mb": "MB", "days": "days",
}  # fmt: skip
_HEAD = ("key", "meaning", "type", "unit", "default", "allowed")

Schema = dict[str, Any]


def line_config() -> str:
    return _page(
        Config,
        "Line config",
        "One YAML file configures one line. An unknown key is an error. `inspectd schema` prints the same as a JSON schema, "
        "for editors. [Configuration](../line/configuration.md) has an example with comments. Relative paths start at the "
        "folder of the config file.",
    )


def training_settings() -> str:
    return _page(
        TrainingSettings,
        "Training settings",
        "A file of `config/training` in JSON. Keys that a file leaves out come from `config/training/default.json`. "
        "`--set key=value` changes one key. [Settings](../training/settings.md) says which ones to try first.",
    )


def experiment_file() -> str:
    return _page(
        Experiment,
        "Experiment files",
        "A file of `config/experiments` in YAML: a question, what varies, what is measured and what was claimed. "
        "[Experiments](../training/experiments.md) says how to run one.",
    )


def engine_bundle() -> str:
    return _page(
        Manifest,
        "Engine bundle",
        "An engine is a folder. `engine.yaml` describes it and lists every other file with its SHA-256. `build_engine.py` writes "
        "the folder; `inspectd` checks all of it at each load.",
    )


def _page(model: type[BaseModel], title: str, about: str) -> str:
    schema = model.model_json_schema()
    sections = list(_sections(schema, schema, ""))
    return "\n\n".join([f"# {title}", about, *sections]) + "\n"


def _sections(schema: Schema, section: Schema, path: str) -> Iterator[str]:
    """`section` and all that it leads to, each with its table of keys."""
    if path:
        named = section["properties"].get("kind", section["properties"].get("source", {}))
        kind = named.get("const", next(iter(named.get("enum", ())), None))
        yield f"## {path}" + (f" ({kind})" if kind else "")
    if section.get("description"):
        yield paragraphs(section["description"])
    required = section.get("required", [])
    rows = [_row(schema, name, key, name in required) for name, key in section["properties"].items()]
    columns = [column for column in zip(_HEAD, *rows, strict=True) if any(column[1:])]
    head, *rows = zip(*columns, strict=True)
    yield table(head, rows)
    for name, key in section["properties"].items():
        for inner, suffix in _inner(schema, key):
            yield from _sections(schema, inner, f"{path}.{name}{suffix}".lstrip("."))


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
    if isinstance(key.get("additionalProperties"), dict):
        yield from ((section, f".NAME{suffix}") for section, suffix in _inner(schema, key["additionalProperties"]))


def _row(schema: Schema, name: str, key: Schema, is_required: bool) -> tuple[str, ...]:
    default = "must be given" if is_required else code(json.dumps(key["default"])) if "default" in key else ""
    return (
        code(name),
        prose(_meaning(schema, key)),
        _type(schema, key),
        _UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else "",
        "see below" if isinstance(key.get("default"), dict) else default,
        _allowed(key),
    )


def _meaning(schema: Schema, key: Schema) -> str:
    if key.get("description"):
        return str(key["description"])
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
