"""`--set key=value`: change single keys of a settings or config file on the command line."""

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any

from inspectd.errors import ConfigError
from inspectd.files.json_file import parse_json
from inspectd.files.text_file import shown
from inspectd.files.yaml_file import parse_yaml


def add_set_option(parser: argparse.ArgumentParser, file: str) -> None:
    """Let a program take `--set`, as often as wanted, into `changes`. `file`: what the keys belong to, for the help."""
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change one key of {file}; VALUE is JSON or YAML, dots in KEY reach into sections; may be repeated",
    )


def changed(values: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """`values` with each `key=value` of `changes` in them. A mapping changes the keys that it holds and keeps the others.

    Raises ConfigError naming the change and what is wrong with it.
    """
    result = dict(values)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {shown(change)}: must be key=value, such as input.width=320")
        value = _value(key, text)
        for part in reversed(key.split(".")):
            value = {part: value}
        result = overlaid(result, value)
    return result


def as_changes(values: Mapping[str, Any]) -> list[str]:
    """`key=value` for each key, as `changed` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def as_options(changes: Iterable[str]) -> list[str]:
    """`--set key=value` for each change, for the command line of another program."""
    return [text for change in changes for text in ("--set", change)]


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both; where both have a key, that of `above`, and of two mappings again the keys of both."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlaid(merged[key], value) if both else value
    return merged


def _value(key: str, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        pass
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"--set {key}: {shown(text)} is not a JSON or YAML value: {error}") from error
