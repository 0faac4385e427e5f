"""Settings of the text that a label must bear."""

import re
from datetime import time
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, field_validator, model_validator

from inspectd.section import ConfigPath, Section, TimeOfDay
from inspectd.text import gs1
from inspectd.text.dates import Shift, check_format, parse_shift
from inspectd.text.pattern import MAX_LENGTH, Pattern
from inspectd.text.template import Template

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,29}$")]
"""Of a field."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
Pixel = Annotated[int, Field(ge=0, le=100_000)]
Size = Annotated[int, Field(ge=4, le=100_000)]
Box = tuple[Pixel, Pixel, Size, Size]
Symbology = Literal["data_matrix", "qr_code", "code_128", "ean_8", "ean_13"]
_MOST_TEXTS = 100
_GRACE_S = Field(default=0, ge=0, le=3600)


class Constant(Section):
    source: Literal["constant"] = Field(alias="from")
    """The same text on every label."""
    value: Text
    """The text. Put it in quotes."""


class AnyOfPattern(Section):
    source: Literal["pattern"] = Field(alias="from")
    """Any text that the field's `pattern` allows: a wrong digit passes. Use it only for text that nobody knows before."""


class Counter(Section):
    source: Literal["counter"] = Field(alias="from")
    """A serial number that grows by 1 from label to label. `inspectd control expect` says with which number it begins. A number
    that has passed does not pass again, unless a new beginning is told. The field needs a `pattern` that ends with digits, such as `S[0-9]{5}`."""
    may_differ_by: int = Field(default=0, ge=0, le=10)
    """The line counts the labels since the last pass, rejected ones too. The number on the label may differ by this much from
    the number that this count gives. Larger: a skipped number passes, too."""


class DateRule(Section):
    source: Literal["date"] = Field(alias="from")
    """A date that follows from the time at which the label was triggered. No label passes while the clock of this computer is
    known to be wrong."""
    shift: str = "+0 days"
    """What is added to the day: '+24 months', '+1 year -1 day'. Months first, then days. If the month is too short, its last day
    is taken: 31 January + 1 month is 28 or 29 February."""
    end_of_month: bool = False
    """Whether the last day of that month is taken."""
    format: Text
    """How the date is printed, with the directives of strftime: `%d` day, `%m` month, `%b` Jan, `%^b` JAN, `%Y` 2026, `%y` 26,
    `%j` day of the year, `%G` and `%V` year and week of ISO 8601 (`%g`: 26), `%u` day of the week from 1 (Monday)."""
    day_begins: TimeOfDay = "00:00"
    """The time at which the printer changes the date, in `text.time_zone`. With '06:00' a label of 03:00 bears the day before."""
    grace_s: float = _GRACE_S
    """For so long before and after the change of day, the old and the new date both pass: the clocks of printer and line differ,
    and a printed label needs time to reach the camera. The records say which labels were in this time."""

    @field_validator("shift")
    @classmethod
    def _is_shift(cls, shift: str) -> str:
        parse_shift(shift)
        return shift

    @field_validator("format")
    @classmethod
    def _is_format(cls, form: str) -> str:
        return check_format(form)

    @cached_property
    def shift_by(self) -> Shift:
        return parse_shift(self.shift)

    @cached_property
    def begins(self) -> time:
        return time.fromisoformat(self.day_begins)


def _is_printed(text: str) -> str:
    if text.count("{}") != 1:
        raise ValueError("must contain {} once, where the value is printed, such as 'LOT {}'")
    return text


class Given(Section):
    source: Literal["given"] = Field(alias="from")
    """Told to the running line, per job or per label: `inspectd control expect`. Until then no label passes. The line does not
    keep it over a restart."""
    printed: Text = "{}"
    """How the label shows the value: 'LOT {}' for a label that says LOT 7481-83 if 7481-83 was given."""
    grace_s: float = _GRACE_S
    """For so long after a change, the value before passes, too. The records say which labels were in this time."""

    _check_printed = field_validator("printed")(_is_printed)


class OfCode(Section):
    source: Literal["code"] = Field(alias="from")
    """The content of a code on the same label."""
    field: Name
    """The field of the code."""
    ai: str | None = Field(default=None, pattern=r"^[0-9]{2,4}$")
    """The application identifier of the GS1 element that the text repeats, such as '10' for the lot. Leave it out for the whole
    content."""
    printed: Text = "{}"
    """How the label shows the value: 'LOT {}' for a label that says LOT 7481-83 if the code contains 7481-83."""

    _check_printed = field_validator("printed")(_is_printed)

    @field_validator("ai")
    @classmethod
    def _is_known(cls, ai: str | None) -> str | None:
        if ai is not None:
            gs1.ends_at_separator(ai)
        return ai


class Composed(Section):
    source: Literal["template"] = Field(alias="from")
    """Made of the values of other fields."""
    value: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """Text, with `{lot}` for the value of the field `lot` and `{date:%y%m%d}` for a date in another format. A template that
    begins with an application identifier in brackets makes a GS1 code: '(01)09501101530003(11){date:%y%m%d}(10){lot}'."""

    @field_validator("value")
    @classmethod
    def _is_template(cls, value: str) -> str:
        template = Template.parse(value)
        if not template.fields:
            raise ValueError(
                "has no value of another field in it, such as {lot}; for fixed text write 'from: constant'"
            )
        return value

    @cached_property
    def template(self) -> Template:
        return Template.parse(self.value)


Expect = Annotated[
    Constant | AnyOfPattern | Counter | DateRule | Given | OfCode | Composed, Field(discriminator="source")
]


class _Field(Section):
    box: Box
    """Left, top, width and height in px of the straightened print, as `inspectd text teach` shows it."""
    pattern: str | None = None
    """What any right text of this field looks like: characters, sets such as [A-Z0-9], and {4} for four times. A value that
    does not match is refused when it is given. A letter O and a digit 0 count as equal only where the pattern allows just one of them."""

    @field_validator("pattern")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _ = Pattern(pattern).places
        return pattern

    @cached_property
    def form(self) -> Pattern | None:
        """The pattern."""
        return None if self.pattern is None else Pattern(self.pattern)


class TextField(_Field):
    kind: Literal["text"]
    """A line of text on the label."""
    font: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    """One of the fonts that the reader was trained and calibrated for."""
    expect: Expect
    """Which text is right."""


class CodeField(_Field):
    kind: Literal["code"]
    """A code on the label."""
    symbology: Symbology
    """The kind of the code."""
    expect: Expect | None = None
    """Which content is right. Leave it out if text fields are compared with the code."""


Fields = dict[Name, Annotated[TextField | CodeField, Field(discriminator="kind")]]


class TextConfig(Section):
    """What the text and the codes on a label must say. A label passes only if every field is right."""

    reader: ConfigPath | None = None
    """Folder of the reader. It is needed for fields of the kind `text`."""
    time_zone: str | None = None
    """Where the printer's date changes, such as Europe/Berlin. It is needed for date rules."""
    clock: Literal["synchronised", "set_by_hand"] = "synchronised"
    """What keeps the clock of this computer right. `synchronised`: dates pass only after time synchronisation has set it, or
    somebody has confirmed it (`inspectd control confirm_clock`). `set_by_hand`: only after a jump of the clock must somebody confirm it."""
    fields: Fields = Field(min_length=1, max_length=20)
    """One section per line of text or code. The name is for `inspectd control expect` and for the records."""

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
                    raise ValueError
                ZoneInfo(name)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError("is not a time zone of this computer; write it like Europe/Berlin") from error
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> "TextConfig":
        order = _order(self.fields)
        outside = False
        for name in order:
            field = self.fields[name]
            _check_field(name, field, self)
            outside |= isinstance(field.expect, Constant | Counter | DateRule | Given) or (
                isinstance(field.expect, Composed) and not field.expect.template.fields
            )
        if not outside:
            raise ValueError(
                "text.fields: no field says anything that does not come from the label itself, so any label would pass; give at "
                "least one a constant, a counter, a date rule or a given value"
            )
        if self.reader is None and any(field.kind == "text" for field in self.fields.values()):
            raise ValueError("text.reader: missing; it is needed for fields of the kind text")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        """Coordinated universal time, if no time zone is set."""
        return ZoneInfo(self.time_zone or "UTC")

    @property
    def rules(self) -> object:
        """Everything that decides which texts are right; not where they are or how they are read. To be compared."""
        fields = {name: (field.kind, field.pattern, field.expect) for name, field in self.fields.items()}
        return fields, self.time_zone, self.clock

    @cached_property
    def order(self) -> list[str]:
        """The names of the fields, each after those it rests on."""
        return _order(self.fields)


def _order(fields: Fields) -> list[str]:
    """Raises ValueError for a circle, or a field that does not exist."""
    rests_on: dict[str, list[str]] = {}
    for name, field in fields.items():
        match field.expect:
            case OfCode(field=other):
                rests_on[name] = [other]
            case Composed(template=template):
                rests_on[name] = list(template.fields)
            case _:
                rests_on[name] = []
        for other in rests_on[name]:
            if other not in fields:
                raise ValueError(
                    f"text.fields.{name}.expect: there is no field '{other}'; fields are {', '.join(fields)}"
                )
    try:
        return [*TopologicalSorter(rests_on).static_order()]
    except CycleError as error:
        raise ValueError(
            f"text.fields: these fields rest on each other: {', '.join(sorted(set(error.args[1])))}"
        ) from error


def _check_field(name: str, field: TextField | CodeField, config: TextConfig) -> None:
    """Raises ValueError if the field can't be verified together with the others."""
    begin = f"text.fields.{name}"
    match field.expect:
        case DateRule() if config.time_zone is None:
            raise ValueError("text.time_zone: missing; it is needed for date rules. Write it like Europe/Berlin")
        case Counter() if field.form is None or not field.form.places[-1] <= frozenset("0123456789"):
            raise ValueError(f"{begin}.pattern: a counter needs a pattern that ends with digits, such as 'S[0-9]{{5}}'")
        case AnyOfPattern() if field.form is None:
            raise ValueError(f"{begin}.pattern: missing; 'from: pattern' needs it")
        case AnyOfPattern() if field.form is not None and all(place == {" "} for place in field.form.places):
            raise ValueError(f"{begin}.pattern: has spaces only; a text needs a character that can be read")
        case OfCode(field=other) if config.fields[other].kind != "code":
            raise ValueError(f"{begin}.expect.field: '{other}' is not a code")
        case Composed(template=template):
            if template.is_gs1 and field.kind != "code":
                raise ValueError(
                    f"{begin}.expect.value: a GS1 template is for codes; for brackets in text write 'from: constant'"
                )
            _check_template(begin, template, config)
        case Constant(value=value):
            if field.form is not None and not field.form.matches(value):
                raise ValueError(f"{begin}.expect.value: {value!r} does not match the field's pattern {field.pattern}")
            if field.kind == "code":
                _check_content(begin, value)
            elif not value.strip():
                raise ValueError(f"{begin}.expect.value: has spaces only; a text needs a character that can be read")
        case _:
            pass


def _check_content(begin: str, value: str) -> None:
    try:
        gs1.content(value)
    except ValueError as error:
        raise ValueError(f"{begin}.expect.value: {value!r} {error}") from error


def _check_template(begin: str, template: Template, config: TextConfig) -> None:
    most = 1
    for other, formats in template.fields.items():
        expect = config.fields[other].expect
        is_date = isinstance(expect, DateRule)
        if expect is None or isinstance(expect, AnyOfPattern):
            raise ValueError(f"{begin}.expect.value: the value of '{other}' is not known before the label is read")
        if is_date != all(formats) or is_date != any(formats):
            raise ValueError(
                f"{begin}.expect.value: write {{{other}:%y%m%d}}, in the format that is printed here"
                if is_date
                else f"{begin}.expect.value: '{other}' is not a date rule; write {{{other}}}"
            )
        most *= 1 + 2 * expect.may_differ_by if isinstance(expect, Counter) else 2
    if most > _MOST_TEXTS:
        raise ValueError(
            f"{begin}.expect.value: more than {_MOST_TEXTS} texts could be right at once; name fewer fields"
        )
