"""YAML that a person wrote. A value that YAML reads in a surprising way is an error.

YAML reads `on` as true, `12:30` as 750, `010` as 8 and `2026-02-30` as a date, and of two equal keys it takes the last.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from inspectd.errors import ConfigError
from inspectd.files.text_file import MAX_BYTES, decoded, one_line, read_bytes, refuse_odd, shown
from inspectd.redaction import redacted

MAX_DEPTH = 32
_MAX_VALUES = 200_000
"""Limit for a file, where every alias counts as all that it stands for."""
MAX_INTEGER = 2**53
"""The largest integer that a float holds exactly, and that JSON and SQLite accept."""
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|\.inf)|\.nan")
"""Infinity and NaN are accepted here. The section that the key belongs to rejects them, and names the key."""
_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_TOO_DEEP = f"more than {MAX_DEPTH} levels deep"


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """The keys of a file and their values. `example` names some of its keys, for the error message. Raises ConfigError."""
    return yaml_keys(path, read_bytes(path, MAX_BYTES), example)


def yaml_keys(path: Path, data: bytes, example: str) -> dict[str, Any]:
    """As `read_yaml`, for `data` that was read from the file at `path`. Raises ConfigError."""
    text = decoded(path, data)
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid YAML: {redacted(str(error))}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must contain keys such as {example}, not {type(values).__name__}")
    return values


def dump_yaml(values: dict[str, Any]) -> str:
    """YAML text that `read_yaml` reads as `values`."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False))


def parse_yaml(text: str) -> Any:
    """Text, numbers, true, false, null, lists, and mappings whose keys are text. Raises ValueError naming line and key."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        return None if node is None else _Values().of(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = one_line(", ".join(part for part in (error.context, error.problem) if part))
        raise ValueError(f"line {mark.line + 1}, column {mark.column + 1}: {what}" if mark else what) from error
    except yaml.YAMLError as error:
        raise ValueError(one_line(" ".join(str(error).split()))) from error


class _Loader(yaml.SafeLoader):
    """Finds the values and their YAML 1.1 types."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=self.get_mark())
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    pass


for _kind in (_Loader, _Dumper):  # YAML 1.1 reads a number with an exponent but no point as text
    _kind.add_implicit_resolver(_TAG + "float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))


class _Values:
    """The values of one document, with aliases replaced by what they stand for, up to a limit."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def of(self, node: yaml.Node, keys: tuple[str, ...]) -> Any:
        """Raises MarkedYAMLError."""
        self._left -= 1
        if self._left < 0:
            raise _refusal(node, keys, f"with its aliases, the file has more than {_MAX_VALUES} values")
        if len(keys) > MAX_DEPTH:
            raise _refusal(node, keys[:3], _TOO_DEEP)
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.of(child, (*keys, str(place))) for place, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, keys)
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            try:
                return _SCALARS[kind](node.value.rstrip("\n") if node.style in ("|", ">") else node.value)
            except ValueError as error:
                raise _refusal(node, keys, str(error)) from error
        raise _refusal(node, keys, f"the tag {shown(node.tag)} is not allowed here")

    def _mapping(self, node: yaml.MappingNode, keys: tuple[str, ...]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = self._key(key_node, keys), key_node.start_mark.line + 1
            if key in lines:
                raise _refusal(key_node, keys, f"the key {shown(key)} occurs twice, first in line {lines[key]}")
            lines[key] = line
            value = self.of(value_node, (*keys, key))
            if key_node.tag != _MERGE:
                values[key] = value
            elif isinstance(value, dict):
                merged = value
            else:
                raise _refusal(value_node, (*keys, key), "must be an alias of a mapping")
        return merged | values

    def _key(self, node: yaml.Node, keys: tuple[str, ...]) -> str:
        if node.tag not in (_TAG + "str", _MERGE):
            what = shown(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            raise _refusal(node, keys, f"the key {what} must be text: put it in quotes")
        try:
            return _text(str(node.value))
        except ValueError as error:
            raise _refusal(node, keys, str(error)) from error


def _refusal(node: yaml.Node, keys: tuple[str, ...], problem: str) -> yaml.MarkedYAMLError:
    where = f"{'.'.join(keys)}: " if keys else ""
    return yaml.MarkedYAMLError(problem=where + problem, problem_mark=node.start_mark)


def _text(value: str) -> str:
    refuse_odd(value)
    return value


def _boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError(
            f"{shown(value)} means true or false in YAML: write true or false, or put it in quotes if it is text"
        )
    return value == "true"


def _integer(value: str) -> int:
    if not _INTEGER.fullmatch(value):
        raise ValueError(f"{shown(value)}: write a number in plain digits, or put it in quotes if it is text")
    if len(value) > 20 or abs(int(value, 0)) > MAX_INTEGER:
        raise ValueError(f"{shown(value)}: numbers up to {MAX_INTEGER} are allowed; put it in quotes if it is text")
    return int(value, 0)


def _float(value: str) -> float:
    if not _FLOAT.fullmatch(value):
        raise ValueError(f"{shown(value)}: write a number in plain digits, or put it in quotes if it is text")
    return float(value.replace(".inf", "inf").replace(".nan", "nan"))


def _null(value: str) -> None:
    if value not in ("", "~", "null"):
        raise ValueError(f"{shown(value)}: write null, or put it in quotes if it is text")


def _date(value: str) -> None:
    raise ValueError(f"{shown(value)} is a date in YAML: put it in quotes")


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": _text,
    "bool": _boolean,
    "int": _integer,
    "float": _float,
    "null": _null,
    "timestamp": _date,
}
