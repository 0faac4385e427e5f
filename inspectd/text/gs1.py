"""GS1 element strings, as Data Matrix and Code 128 carry them: an application identifier (AI), its value, the next AI, ...

A value of variable length ends at FNC1, which a code reader gives as the group separator (GS1 General Specifications, 7.8).
The FNC1 in front of the first AI is not part of the content.
"""

import re
from collections.abc import Mapping
from functools import cache

SEPARATOR = "\x1d"
_AI = re.compile(r"\((\d{2,4})\)")


def elements(content: str) -> dict[str, str]:
    """AI -> value. Raises ValueError that says why this is not a GS1 element string."""
    from biip import ParseError  # takes 0.1 s, and only lines with GS1 codes need it
    from biip.gs1_messages import GS1Message

    try:
        message = GS1Message.parse(content)
    except ParseError as error:
        raise ValueError(f"is not a GS1 element string: {error}") from error
    found: dict[str, str] = {}
    for element in message.element_strings:
        if element.ai.ai in found:
            raise ValueError(f"has the element ({element.ai.ai}) twice")
        if element.gtin_error or element.sscc_error or element.gln_error:
            raise ValueError(f"has a wrong check digit in the element ({element.ai.ai})")
        found[element.ai.ai] = element.value
    if not found:
        raise ValueError("is empty")
    return found


def encoded(values: Mapping[str, str]) -> str:
    """The element string, with a separator after each value of variable length, except the last. Raises ValueError."""
    last = len(values) - 1
    return "".join(
        ai + value + (SEPARATOR if number < last and ends_at_separator(ai) else "")
        for number, (ai, value) in enumerate(values.items())
    )


@cache
def ends_at_separator(ai: str) -> bool:
    """Raises ValueError if the AI is unknown."""
    from biip import ParseError
    from biip.gs1_application_identifiers import GS1ApplicationIdentifier

    try:
        known = GS1ApplicationIdentifier.extract(ai)
    except ParseError:
        known = None
    if known is None or known.ai != ai:
        raise ValueError(f"({ai}) is not an application identifier of GS1")
    return known.separator_required


def split(template: str) -> dict[str, str] | None:
    """`(01)...(10)...` -> AI -> template of its value; None if it does not begin with an AI. Raises ValueError."""
    if not _AI.match(template):
        return None
    _, *pieces = _AI.split(template)
    values: dict[str, str] = {}
    for ai, value in zip(pieces[::2], pieces[1::2], strict=True):
        ends_at_separator(ai)
        if ai in values:
            raise ValueError(f"({ai}) occurs twice")
        if not value:
            raise ValueError(f"({ai}) has no value")
        values[ai] = value
    return values


def content(value: str) -> str:
    """What a code contains that shows `value`: `(01)...(10)...` is a GS1 element string, anything else stays. Raises ValueError."""
    values = split(value)
    if values is None:
        return value
    read = elements(found := encoded(values))
    if read != values:
        raise ValueError(
            f"is read as {''.join(f'({ai}){value}' for ai, value in read.items())}: a value has a wrong length"
        )
    return found


def normal(content: str) -> str:
    """Without separators that change nothing: some printers end every element with one."""
    if SEPARATOR not in content:
        return content
    try:
        plain = encoded(elements(content))
    except ValueError:
        return content
    rest = iter(content)
    return plain if all(character in rest for character in plain) else content  # one that is missing is an error
