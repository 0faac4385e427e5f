"""A config as a list of keys, each with its value, its sentence from the schema, and whether the value is the default."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_UNITS = {
    "_ms": "ms",
    "_us": "µs",
    "_s": "s",
    "_hz": "Hz",
    "_px": "px",
    "_db": "dB",
    "_mb": "MB",
    "_gb": "GB",
    "_bytes": "bytes",
    "_days": "days",
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
    "null": type(None),
}

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key, or a section of keys."""

    name: str
    path: str
    """With the sections around it: `gate.delay_ms`."""
    sentence: str
    """What it does; empty if the schema does not say."""
    value: str
    """With its unit; empty for a section."""
    is_default: bool
    keys: tuple["Key", ...] = ()
    """Those of a section."""


def key_list(config: Mapping[str, Any], schema: Schema) -> tuple[Key, ...]:
    """The keys of `config`, in the order of `schema`, which is its JSON schema as pydantic writes it."""
    return tuple(_keys(config, schema, schema, ""))


def _keys(values: Mapping[str, Any], node: Schema, root: Schema, above: str) -> Iterator[Key]:
    properties = node.get("properties", {})
    any_name = next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties"))
    for name in (
        *(name for name in properties if name in values),
        *(name for name in values if name not in properties),
    ):
        yield _key(name, values[name], properties.get(name, any_name), root, f"{above}{name}")


def _key(name: str, value: Any, node: object, root: Schema, path: str) -> Key:
    outer: Schema = node if isinstance(node, Mapping) else {}
    inner = _fitting(outer, value, root)
    sentence = str(outer.get("description") or inner.get("description") or "").replace("\n", " ")
    if isinstance(value, dict) and value:
        keys = tuple(_keys(value, inner, root, f"{path}."))
        return Key(name, path, sentence, "", all(key.is_default for key in keys), keys)
    is_default = "default" in outer and outer["default"] == value
    return Key(name, path, sentence, _shown(name, value), is_default)


def _fitting(node: Schema, value: Any, root: Schema) -> Schema:
    """The part of the schema that describes this value: references are followed, and of alternatives the right one is taken."""
    if "$ref" in node:
        return _fitting(root["$defs"][node["$ref"].rpartition("/")[2]], value, root)
    alternatives = node.get("anyOf") or node.get("oneOf")
    if not alternatives:
        return node
    chosen = node.get("discriminator")
    if (
        chosen
        and isinstance(value, dict)
        and (reference := chosen["mapping"].get(str(value.get(chosen["propertyName"]))))
    ):
        return _fitting({"$ref": reference}, value, root)
    fitting = (_fitting(each, value, root) for each in alternatives)
    return next((each for each in fitting if _fits(each, value)), node)


def _fits(node: Schema, value: Any) -> bool:
    if isinstance(value, bool) and node.get("type") != "boolean":
        return False
    if not isinstance(value, _TYPES.get(node.get("type", ""), object)):
        return False
    if not isinstance(value, dict) or "properties" not in node:
        return True
    properties = node["properties"]
    consts = all(value.get(name) == each["const"] for name, each in properties.items() if "const" in each)
    return consts and value.keys() <= properties.keys()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False) if value else "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:g}" if isinstance(value, float) and abs(value) < 1e5 else str(value)
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    return f"{text} {unit}" if unit and not isinstance(value, str) else text
