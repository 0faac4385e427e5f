"""What is wrong in a file that a person wrote: one sentence per key, with its value and what is allowed."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from inspectd.files.text_file import one_line, shown
from inspectd.redaction import redacted

Schema: TypeAlias = dict[str, Any]
"""Part of a JSON schema."""


def sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line per wrong key of `model`, without the passwords of URLs."""
    schema = model.model_json_schema()
    problems: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        key = ".".join(_keys(detail, schema))
        value, problem = _problem(detail, schema)
        begin = f"{key}: {value}"
        if not key or problem.startswith(f"{key}."):  # it names its keys itself
            begin = value
        problems.setdefault(begin, []).append(problem)
    # a key that takes a number or text has one problem with each
    return [one_line(redacted(begin + ", or ".join(each))) for begin, each in problems.items()]


def did_you_mean(key: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown key: the known key with the most similar spelling, or nothing."""
    close = difflib.get_close_matches(key[:100], sorted(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _problem(detail: ErrorDetails, schema: Schema) -> tuple[str, str]:
    """The wrong value, where it helps to show it, and the problem."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    message = re.sub(r"^\w+ should ", "must ", detail["msg"].removeprefix("Value error, "))
    if kind == "extra_forbidden":
        return "", f"unknown key{did_you_mean(str(detail['loc'][-1]), _all_keys(schema))}"
    if kind in ("missing", "union_tag_not_found"):
        return "", "missing"
    if kind == "value_error" and isinstance(value, dict):
        return "", message
    if kind == "union_tag_invalid":
        value, message = context["tag"], f"must be one of {context['expected_tags']}"
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        message = "must be text: put it in quotes"
    return f"{shown(value)} is not allowed: ", message


def _keys(detail: ErrorDetails, schema: Schema) -> Iterator[str]:
    """The keys to the wrong value, as the file has them. pydantic's location also names which kind of a union it tried."""
    node = _resolved(schema, schema)
    for part in detail["loc"]:
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = _resolved({"$ref": kinds[part]}, schema)
        elif (below := _below(node, part, schema)) is not None:
            node = below
            yield str(part)
    if detail["type"] == "extra_forbidden":
        yield str(detail["loc"][-1])
    if detail["type"].startswith("union_tag"):
        yield node["discriminator"]["propertyName"]


def _below(node: Schema, part: int | str, schema: Schema) -> Schema | None:
    """The schema of a key or a place in a list; None if there is none."""
    for each in (node, *node.get("anyOf", ())):
        each = _resolved(each, schema)
        if part in each.get("properties", {}):
            return _resolved(each["properties"][part], schema)
        if isinstance(part, int) and each.get("type") == "array":
            places = each.get("prefixItems", ())
            return _resolved(places[part] if part < len(places) else each.get("items", {}), schema)
        if isinstance(each.get("additionalProperties"), dict) and part != "[key]":
            return _resolved(each["additionalProperties"], schema)
    return None


def _resolved(node: Schema, schema: Schema) -> Schema:
    reference = node.get("$ref")
    return node if reference is None else schema["$defs"][reference.removeprefix("#/$defs/")]


def _all_keys(schema: Schema) -> set[str]:
    sections = [schema, *schema.get("$defs", {}).values()]
    return {name for section in sections for name in section.get("properties", {})}
