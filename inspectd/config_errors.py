"""What is wrong in a file that a person wrote: one sentence per key, with its value and what is allowed."""

import difflib
import re
from collections.abc import Iterable
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
    details = error.errors(include_url=False)
    missing = [detail["loc"] for detail in details if detail["type"] == "missing"]
    problems: dict[str, list[str]] = {}
    for detail in details:
        keys, section = _place(detail, schema)
        key = ".".join(keys)
        if detail["type"] == "extra_forbidden":
            *above, name = detail["loc"]
            wanted = [str(loc[-1]) for loc in missing if [*loc[:-1]] == above]
            value, problem = (
                "",
                f"unknown key{did_you_mean(str(name), wanted) or did_you_mean(str(name), _known(section, schema))}",
            )
        else:
            value, problem = _problem(detail)
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


def _problem(detail: ErrorDetails) -> tuple[str, str]:
    """The wrong value, where it helps to show it, and the problem."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    message = re.sub(r"^\w+ should ", "must ", detail["msg"].removeprefix("Value error, "))
    if kind in ("missing", "union_tag_not_found"):
        return "", "missing"
    if kind == "value_error" and isinstance(value, dict):
        return "", message
    if kind == "union_tag_invalid":
        value, message = context["tag"], f"must be one of {context['expected_tags']}"
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        message = "must be text: put it in quotes"
    return f"{shown(value)} is not allowed: ", message


def _place(detail: ErrorDetails, schema: Schema) -> tuple[list[str], Schema]:
    """The keys to the wrong value, as the file has them, and the schema of the last one that is known.

    pydantic's location also names which kind of a union it tried.
    """
    keys: list[str] = []
    node = _resolved(schema, schema)
    for part in detail["loc"]:
        kinds = _choice(node).get("mapping", {})
        if part in kinds:
            node = _resolved({"$ref": kinds[part]}, schema)
        elif (below := _below(node, part, schema)) is not None:
            node = below
            keys.append(str(part))
    if detail["type"] == "extra_forbidden":
        keys.append(str(detail["loc"][-1]))
    if detail["type"].startswith("union_tag"):
        keys.append(_choice(node)["propertyName"])
    return keys, node


def _choice(node: Schema) -> Schema:
    """The key that says which kind of section this is, and the schema of each kind. Empty if there is one kind only."""
    found: Schema = next(
        (each["discriminator"] for each in (node, *node.get("anyOf", ())) if "discriminator" in each), {}
    )
    return found


def _below(node: Schema, part: int | str, schema: Schema) -> Schema | None:
    """The schema of a key or a place in a list; None if there is none."""
    for each in (node, *node.get("anyOf", ())):
        each = _resolved(each, schema)
        if part in each.get("properties", {}):
            return _resolved(each["properties"][part], schema)
        if isinstance(part, int) and each.get("type") == "array":
            places = each.get("prefixItems", ())
            return _resolved(places[part] if part < len(places) else each.get("items", {}), schema)
        for value in (each.get("additionalProperties"), *each.get("patternProperties", {}).values()):
            if isinstance(value, dict) and part != "[key]":
                return _resolved(value, schema)
    return None


def _resolved(node: Schema, schema: Schema) -> Schema:
    reference = node.get("$ref")
    return node if reference is None else schema["$defs"][reference.removeprefix("#/$defs/")]


def _known(section: Schema, schema: Schema) -> set[str]:
    return {
        key for each in (section, *section.get("anyOf", ())) for key in _resolved(each, schema).get("properties", {})
    }
