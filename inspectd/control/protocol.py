"""The language of the control socket: one JSON object per line, in both directions.

Request: {"version": 1, "verb": "acknowledge", "stops": ["too_many_rejects"]}
Or: {"version": 1, "verb": "expect", "fields": {"lot": "7481-83"}, "from": {"part": 1042}}
Answer: {"version": 1, "ok": true, ...}, or {"version": 1, "ok": false, "error": "a sentence"} if nothing was done.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints, ValidationError, model_validator

from inspectd.config_errors import sentences
from inspectd.control.stops import StopName
from inspectd.files.json_file import parse_json
from inspectd.files.text_file import shown
from inspectd.section import Section

VERSION = 1
MAX_BYTES = 4096
"""Length of the longest request, with its line end."""

GOES_ON = "the line goes on with its old engine: "
"""With this begins the answer to a reload that was tried and refused. Any other refusal is one for now only."""

Verb = Literal["status", "reload", "acknowledge", "expect", "confirm_clock"]
VERBS: tuple[Verb, ...] = get_args(Verb)


class Request(Section):
    """What a client asks for, apart from the version."""

    verb: Verb
    """What the line shall do."""


class AcknowledgeRequest(Request):
    """Somebody has looked."""

    stops: Annotated[tuple[StopName, ...], Field(max_length=20)] | None = None
    """The latched stops that this person was shown; others hold on. It may be left out if there is only one."""


class Begin(Section):
    """Which label is the first one: one of the two keys."""

    part: int | None = Field(default=None, ge=1, le=2**62)
    """The part with this number. `status` shows the number of the next one."""
    time: str | None = None
    """The first label that is triggered at or after this time (ISO 8601)."""

    @model_validator(mode="after")
    def _is_one(self) -> "Begin":
        if (self.part is None) == (self.time is None):
            raise ValueError("must have either part or time")
        return self


class ExpectRequest(Section):
    """What the next labels must say."""

    verb: Literal["expect"]
    fields: Annotated[
        dict[str, Annotated[str, StringConstraints(min_length=1, max_length=500)] | None],
        Field(min_length=1, max_length=20),
    ]
    """Per field, the value that is right; null if no value is right any more."""
    begin: Literal["next"] | Begin = Field(default="next", alias="from")
    """The first label that must have it. `next`: the next one that is triggered."""


_MODELS: Mapping[str, type[Request | ExpectRequest]] = {"acknowledge": AcknowledgeRequest, "expect": ExpectRequest}
"""Of the verbs that take more than their name."""


def parse(line: bytes) -> Request | ExpectRequest:
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
    verb = values.get("verb")
    model = _MODELS.get(verb, Request) if isinstance(verb, str) else Request
    try:
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(sentences(error, model))) from error


def answered(**values: Any) -> bytes:
    """The answer to a request that was done."""
    return _line(ok=True, **values)


def refused(error: str) -> bytes:
    """The answer to a request that was not done. `error` says why, in a sentence."""
    return _line(ok=False, error=error)


def _line(**values: Any) -> bytes:
    return json.dumps({"version": VERSION, **values}).encode() + b"\n"
