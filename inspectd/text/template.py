"""Templates: text with the values of other fields in it, such as `(01)09501101530003(11){date:%y%m%d}(10){lot}`."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from inspectd.text import gs1
from inspectd.text.dates import check_format, formatted

Value = str | date
"""Of a field: a date for a date rule, otherwise text."""


class _Piece(NamedTuple):
    literal: str
    field: str | None
    """Whose value follows the literal."""
    format: str
    """How a date is written."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that begins with an application identifier in brackets makes a GS1 element string."""

    source: str
    parts: tuple[tuple[str, tuple[_Piece, ...]], ...]
    """Application identifier ('' in plain text), and the pieces of its value."""

    @classmethod
    def parse(cls, source: str) -> "Template":
        """Raises ValueError."""
        values = gs1.split(source) or {"": source}
        return cls(source, tuple((ai, tuple(_pieces(value))) for ai, value in values.items()))

    @property
    def is_gs1(self) -> bool:
        return self.parts[0][0] != ""

    @property
    def fields(self) -> dict[str, list[str]]:
        """The fields whose values it needs, and the date formats of each."""
        found: dict[str, list[str]] = {}
        for _, pieces in self.parts:
            for piece in pieces:
                if piece.field is not None:
                    found.setdefault(piece.field, []).append(piece.format)
        return found

    def filled(self, values: Mapping[str, Value]) -> str:
        """Raises KeyError, ValueError."""
        filled = {ai: "".join(_filled(piece, values) for piece in pieces) for ai, pieces in self.parts}
        return gs1.encoded(filled) if self.is_gs1 else filled[""]


def _pieces(source: str) -> Iterator[_Piece]:
    for literal, field, form, conversion in string.Formatter().parse(source):
        if conversion or (field is not None and not field.isidentifier()):
            raise ValueError("write {lot} for the value of the field lot, {date:%y%m%d} for a date; {{ for a brace")
        yield _Piece(literal, field, check_format(form) if form else "")


def _filled(piece: _Piece, values: Mapping[str, Value]) -> str:
    if piece.field is None:
        return piece.literal
    value = values[piece.field]
    return piece.literal + (value if isinstance(value, str) else formatted(value, piece.format))
