"""The language of the control socket: one JSON object per line, in both directions.

Request: {"version": 1, "verb": "acknowledge"}
Answer: {"version": 1, "ok": true, ...}, or {"version": 1, "ok": false, "error": "a sentence"} if nothing was done.
"""

import json
from typing import Any, Literal, get_args

from pydantic import ValidationError

from inspectd.config_errors import sentences
from inspectd.files.json_file import parse_json
from inspectd.files.text_file import shown
from inspectd.section import Section

VERSION = 1
MAX_BYTES = 4096
"""Length of the longest request, with its line end."""

Verb = Literal["status", "reload", "acknowledge"]
VERBS: tuple[Verb, ...] = get_args(Verb)


class Request(Section):
    """What a client asks for, apart from the version."""

    verb: Verb
    """What the line shall do."""


def parse(line: bytes) -> Request:
    """The request in one line. Raises ValueError that says in one line what is wrong."""
    try:
        values = parse_json(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError("the request is not UTF-8 text") from error
    except ValueError as error:
        raise ValueError(f"the request is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"the request must be a JSON object, not {shown(values)}")
    if "version" not in values:
        raise ValueError(f"version: missing; this line knows version {VERSION} only")
    version = values.pop("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(f"version: {shown(version)} is not allowed: this line knows version {VERSION} only")
    try:
        return Request.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(sentences(error, Request))) from error


def answered(**values: Any) -> bytes:
    """The answer to a request that was done."""
    return _line(ok=True, **values)


def refused(error: str) -> bytes:
    """The answer to a request that was not done. `error` says why, in a sentence."""
    return _line(ok=False, error=error)


def _line(**values: Any) -> bytes:
    return json.dumps({"version": VERSION, **values}).encode() + b"\n"
