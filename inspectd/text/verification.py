"""The text stage of the inspection: does each text and each code of a label say what it must?

It looks only at labels that network and guard let pass, because the guard has found the print on these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError, EngineError, InferenceError
from inspectd.inference import Engine, InferenceConfig
from inspectd.inference.bundled_guard import inside
from inspectd.part import (
    TEXT_NOT_EXPECTED,
    Box,
    Fault,
    FieldCheck,
    Image,
    Part,
    Pass,
    Scores,
    TextReason,
    Uncertain,
    WrongCharacter,
)
from inspectd.text.codes import Code, box_in_image, read_code
from inspectd.text.config import CodeField, Constant, DateRule, Given, OfCode, TextConfig, TextField
from inspectd.text.dates import formatted
from inspectd.text.expectation import Expectations, Expected
from inspectd.text.judging import Line
from inspectd.text.reader import Reader, load_reader
from inspectd.text.reading import Reading

_CODE_MS, _SLOW_CODE_MS = 0.3, 1.0
"""Time planned for reading one code: median and p99."""
_REASONS: Mapping[str, TextReason | None] = {
    "right": None,
    "wrong": "text_wrong",
    "unreadable": "text_unreadable",
    "missing": "text_missing",
}
_LONGEST = 200
"""Characters of a code's content that are recorded."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An image, and where the print is in it."""

    image: Image
    to_image: NDArray[np.float64]

    def box(self, box: Box) -> Box:
        """Of the straightened print -> of the image, at least one pixel of it."""
        height, width = self.image.shape[:2]
        return inside(box_in_image(box, self.to_image), (width, height))


class Verification:
    """One thread at a time. `service_ms`, `median_ms`: planned p99 and median time per label."""

    def __init__(self, config: TextConfig, reader: Reader | None, expectations: Expectations) -> None:
        self.config = config
        self.expectations = expectations
        """What is expected now; may be told something new by another thread at any time."""
        self.reader_id = None if reader is None else (reader.name, reader.hash)
        """Name and hash, for the records."""
        self._reader = reader
        self._texts = {name: field for name, field in config.fields.items() if isinstance(field, TextField)}
        self._codes = {name: field for name, field in config.fields.items() if isinstance(field, CodeField)}
        self.median_ms = _CODE_MS * len(self._codes) + (reader.median_ms * len(self._texts) if reader else 0)
        self.service_ms = (
            self.median_ms
            + (_SLOW_CODE_MS - _CODE_MS if self._codes else 0)
            + (reader.service_ms - reader.median_ms if reader else 0)
        )

    def check(self, part: Part, image: Image, print_to_image: NDArray[np.float64] | None) -> tuple[FieldCheck, ...]:
        """What each field says, in the order of the config.

        `image`: (h, w) grey or (h, w, 3) BGR uint8. `print_to_image`: (3, 3) from px of the straightened print to px of the
        image. Raises InferenceError, whatever went wrong.
        """
        try:
            if print_to_image is None:
                raise ValueError("the guard did not look for the print")
            return self._check(part, _Placed(image, print_to_image))
        except InferenceError:
            raise
        except Exception as error:  # no label passes because its text could not be verified
            raise InferenceError(f"the text can't be verified: {type(error).__name__}: {error}") from error

    def passed(self, part: Part, checks: Sequence[FieldCheck]) -> None:
        """The label was let through with these texts."""
        self.expectations.passed(part, {check.field: check.found for check in checks})

    def untold(self) -> "Verification":
        """The same, but nothing has been told to it yet: what it was told before may have been replaced."""
        expectations = Expectations(self.config)
        expectations.next_part_id = self.expectations.next_part_id
        return Verification(self.config, self._reader, expectations)

    def _check(self, part: Part, placed: _Placed) -> tuple[FieldCheck, ...]:
        codes = {
            name: read_code(placed.image, placed.to_image, field.box, field.symbology)
            for name, field in self._codes.items()
        }
        read = {name: content for name, content in codes.items() if content is not None}
        expected = self.expectations.of(part, read)
        readings = self._readings(placed, expected)
        return tuple(
            _text_check(placed, name, field, expected[name], readings.get(name))
            if isinstance(field, TextField)
            else _code_check(placed, name, field, expected.get(name) or self._any_content(name), codes[name])
            for name, field in self.config.fields.items()
        )

    def _any_content(self, name: str) -> Expected:
        """Of a code that text fields are compared with."""
        others = (field.expect for field in self._texts.values())
        by_element = any(isinstance(each, OfCode) and each.field == name and each.ai is not None for each in others)
        return Expected((), "any content", by_element)

    def _readings(self, placed: _Placed, expected: Mapping[str, Expected]) -> dict[str, Reading]:
        lines = {
            name: Line(field.box, field.font, expected[name].allowed, field.form)
            for name, field in self._texts.items()
            if expected[name].allowed
        }
        if self._reader is None or not lines:
            return {}
        found = self._reader.verify(placed.image, placed.to_image, list(lines.values()))
        return dict(zip(lines, found, strict=True))


def judged(scores: Scores, checks: Sequence[FieldCheck]) -> Pass | Fault | Uncertain:
    """The verdict on a label that would pass but for its texts: a wrong text first, then one that is not expected."""
    bad = [check for check in checks if check.reason is not None]
    faults = [check for check in bad if check.reason != TEXT_NOT_EXPECTED]
    if faults:
        return Fault(scores, faults[0])
    return Uncertain(scores, text=bad[0]) if bad else Pass(scores)


def load_verification(
    config: TextConfig, inference: InferenceConfig, engine: Engine, expectations: Expectations | None = None
) -> Verification:
    """Load the reader and check that it and the engine's guard fit the fields.

    `expectations`: of a verification with the same rules, to keep what has been told. Raises ConfigError: the engine finds no
    print, a box is not inside the print, or the reader does not know a font or a character. Raises EngineError if the reader
    can't be used.
    """
    size = engine.print_size
    if size is None:
        raise ConfigError(
            "text: the engine has no guard that finds the print, so nobody knows where the text fields are; fit one with "
            "tools/fit_guard.py, or remove the section"
        )
    for name, field in config.fields.items():
        left, top, width, height = field.box
        if left + width > size[0] or top + height > size[1]:
            raise ConfigError(
                f"text.fields.{name}.box: {list(field.box)} reaches beyond the print, which is {size[0]}x{size[1]} px for this "
                "engine; show the fields again with `inspectd text teach`"
            )
    reader = None if config.reader is None else load_reader(config.reader, inference)
    for name, field in config.fields.items():
        if reader is not None and isinstance(field, TextField):
            _check_text(name, field, reader)
    return Verification(config, reader, expectations or Expectations(config))


def _check_text(name: str, field: TextField, reader: Reader) -> None:
    """Raises ConfigError if the reader can't read this field, EngineError if it can't read at all."""
    if field.font not in reader.fonts:
        raise ConfigError(
            f"text.fields.{name}.font: the reader {reader.name} is not calibrated for {field.font!r}; it knows "
            f"{', '.join(sorted(reader.fonts))}. Commission the font with tools/reader.py"
        )
    unknown = reader.unknown_characters(_always_printed(field), field.font)
    if unknown:
        raise ConfigError(
            f"text.fields.{name}: the reader {reader.name} is not calibrated for {', '.join(map(repr, unknown))} in the font "
            f"{field.font!r}, so right labels would not pass; it knows {reader.fonts[field.font].characters}"
        )
    try:
        reader.warm([field.box])
    except ValueError as error:
        raise ConfigError(f"text.fields.{name}.box: {error}") from error
    except InferenceError as error:
        raise EngineError(f"{reader.name}: {error}") from error


def _always_printed(field: TextField) -> str:
    """Characters that every right text of this field has, as far as the config says."""
    places = () if field.form is None else field.form.places
    by_pattern = "".join(character for place in places if len(place) == 1 for character in place)
    match field.expect:
        case Constant(value=value):
            return by_pattern + value
        case Given(printed=printed) | OfCode(printed=printed):
            return by_pattern + printed.replace("{}", "")
        case DateRule(format=form):  # with the names of all months
            return by_pattern + "".join(formatted(date(2026, month, 1), form) for month in range(1, 13))
        case _:
            return by_pattern


def _text_check(
    placed: _Placed, name: str, field: TextField, expected: Expected, reading: Reading | None
) -> FieldCheck:
    where = placed.box(field.box)
    if reading is None:
        return FieldCheck(name, TEXT_NOT_EXPECTED, (), expected.source, "", None, where)
    reason, worst = _REASONS[reading.verdict], reading.worst
    found = "" if reason == "text_missing" else reading.text
    if worst is not None and reason is not None:
        found = found[: worst.index] + worst.found + found[worst.index + len(worst.expected) :]
    return FieldCheck(
        name,
        reason,
        _allowed(expected),
        expected.source,
        found,
        reading.score,
        where if worst is None else placed.box(worst.box),
        None if worst is None else WrongCharacter(worst.index, worst.expected, worst.found),
    )


def _code_check(placed: _Placed, name: str, field: CodeField, expected: Expected, content: Code | None) -> FieldCheck:
    reason: TextReason | None
    found = "" if content is None else content[:_LONGEST]
    if content is None:
        reason = "code_unreadable"
    elif expected.is_gs1 and not content.is_gs1:
        reason, found = "code_wrong", f"{found} (without FNC1 at its begin)"
    elif field.expect is None:
        reason = None if field.form is None or field.form.matches(content) else "code_wrong"
    elif not expected.allowed:
        reason = TEXT_NOT_EXPECTED
    else:
        reason = None if expected.allows(content) else "code_wrong"
    return FieldCheck(name, reason, _allowed(expected), expected.source, found, None, placed.box(field.box))


def _allowed(expected: Expected) -> tuple[str, ...]:
    return expected.allowed if isinstance(expected.allowed, tuple) else (expected.allowed.source,)
