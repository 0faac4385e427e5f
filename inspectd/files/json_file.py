"""JSON that a person wrote. A key that occurs twice is an error, and so is a number too large for a part of the project."""

import json
import math
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError
from inspectd.files.text_file import read_text, refuse_odd, shown
from inspectd.files.yaml_file import MAX_DEPTH, MAX_INTEGER


def read_json(path: Path) -> dict[str, Any]:
    """The keys of a file and their values. Raises ConfigError."""
    try:
        values = parse_json(read_text(path))
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must contain an object, not {type(values).__name__}")
    return values


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError that says what is wrong."""
    try:
        values = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except RecursionError as error:
        raise ValueError("too many levels deep") from error
    _check(values, MAX_DEPTH)
    return values


def _check(value: Any, levels: int) -> None:
    if levels == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        refuse_odd(value)
    elif isinstance(value, list | dict):
        for each in value:
            _check(each, levels - 1)
    if isinstance(value, dict):
        for each in value.values():
            _check(each, levels - 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {shown(key)} occurs twice")
        values[key] = value
    return values


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
        raise ValueError(f"{shown(text)}: numbers up to {MAX_INTEGER} are allowed")
    return int(text)


def _float(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{shown(text)}: numbers must be finite")
    return float(text)
