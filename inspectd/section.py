"""The base of every config section. Each section lives beside the part it configures."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from inspectd.errors import ConfigError
from inspectd.files.text_file import one_line, refuse_odd, shown
from inspectd.redaction import redacted

_MAX_ERRORS_SHOWN = 10


class Section(BaseModel):
    """Unknown keys are errors, values are checked as written, and nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, str_max_length=10_000
    )


S = TypeVar("S", bound=Section)


def validated(model: type[S], values: Mapping[str, Any], path: Path) -> S:
    """As JSON would be: text is not taken for a number, nor a number for text or a switch. Raises ValidationError."""
    return model.model_validate_json(json.dumps(values), strict=True, context={"folder": path.resolve().parent})


def checked(model: type[S], values: Mapping[str, Any], path: Path) -> S:
    """`values`, as the file at `path` holds them. Raises ConfigError naming the file and, for every wrong key, its value
    and what is allowed."""
    try:
        return validated(model, values, path)
    except ValidationError as error:
        details = error.errors(include_url=False)
        lines = [f"  {one_line(redacted(_explain(detail, values, model)))}" for detail in details[:_MAX_ERRORS_SHOWN]]
        raise ConfigError("\n".join([f"{path}: {len(details)} error(s)", *lines])) from error


def _explain(detail: ErrorDetails, values: Any, model: type[BaseModel]) -> str:
    key = ".".join(_keys(detail, values))
    value, message = detail["input"], detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key{_did_you_mean(detail['loc'][-1], model)}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "value_error" and isinstance(value, dict):
        return f"{key}: {message}" if key else message
    if detail["type"] == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        message = "must be text: put it in quotes"
    return f"{key or '(file)'}: {shown(value)} is not allowed: {message}"


def _keys(detail: ErrorDetails, values: Any) -> Iterator[str]:
    """Those that somebody wrote, or forgot: pydantic's location also names the kinds of a union, such as 'pylon'."""
    for number, part in enumerate(detail["loc"], start=1):
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            if number < len(detail["loc"]) or detail["type"] != "missing":
                continue
        yield str(part)


def _did_you_mean(key: object, model: type[BaseModel]) -> str:
    """The key of `model` or one of its sections that is spelt most like it."""
    schema = model.model_json_schema()
    sections = [schema, *schema.get("$defs", {}).values()]
    known = sorted({name for section in sections for name in section.get("properties", {})})
    close = difflib.get_close_matches(str(key)[:100], known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def not_a_switch(value: Any) -> Any:
    """Before a `Literal` of numbers, for which Python's true is 1. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _as_a_path(value: Any) -> Any:
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        refuse_odd(text)
        if not text:
            raise ValueError("must not be empty")
        if len(os.fsencode(text)) > 2000 or any(len(os.fsencode(part)) > 255 for part in text.split("/")):
            raise ValueError("must have at most 2000 bytes, and 255 between two slashes")
    return value


def _relative_to_config(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return folder / path if folder is not None else path


ConfigPath = Annotated[Path, BeforeValidator(_as_a_path), AfterValidator(_relative_to_config)]
"""A path; a relative one is taken from the folder of the config file."""
