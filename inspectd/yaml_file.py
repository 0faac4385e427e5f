"""A YAML file of sections: reading it, and saying all that is wrong with it at once."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from inspectd.errors import ConfigError
from inspectd.redaction import redacted


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """The keys of a file; `example` names some that it must hold. Raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no valid YAML: {redacted(str(error))}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys such as {example}, got {type(values).__name__}")
    return values


def refused(path: Path, error: ValidationError, explain: Callable[[ErrorDetails], str]) -> ConfigError:
    """All that is wrong with a file at once, a line each."""
    lines = [redacted(f"  {explain(detail)}") for detail in error.errors(include_url=False)]
    return ConfigError("\n".join([f"{path}: {len(lines)} error(s)", *lines]))


def unknown_key(key: str, location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """In words, with the key of `model` or one of its sections that is spelt most like it."""
    schema = model.model_json_schema()
    sections = [schema, *schema.get("$defs", {}).values()]
    known = sorted({name for section in sections for name in section.get("properties", {})})
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"{key}: unknown key" + (f"; did you mean '{close[0]}'?" if close else "")
