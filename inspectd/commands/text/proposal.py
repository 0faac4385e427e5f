"""From the texts of good labels to a field of the config: what stays the same, what changes, and what it could depend on."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from inspectd.commands.text.layout import Box, Layout
from inspectd.files.text_file import one_line
from inspectd.text import gs1

_MOST = 0.8
"""A statement about a text counts if it is true for so many of the photos: some may have been read wrongly."""
_ALIKE: Final = str.maketrans("01l8526", "OIIBSZG")
"""Digits, and letters that are often read instead of them."""
_DIGIT_FOR: Final = str.maketrans("OoIlBSsZzG", "0011855226")
_LIKE_CAPITALS: Final = frozenset("ckopsuvwxz")
"""Small letters that have the form of their capitals. A line with no other small letters has none."""
_PRINTED_ALIKE: Final = frozenset("0O1I")
_DIGIT, _LETTER = "[0-9]", "[A-Z]"
_DATES: Final = (
    *("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d.%m.%y", "%m/%Y"),
    *("%m.%Y", "%d %b %Y", "%b %Y", "%Y%m%d"),
)
_TIME: Final = re.compile(r"\b([01][0-9]|2[0-3]):[0-5][0-9]\b")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One field of the section `text`."""

    name: str
    box: Box
    expect: dict[str, str]
    pattern: str | None = None
    symbology: str | None = None
    """Of a code; None for a line of text."""
    remarks: list[str] = field(default_factory=list)
    """For the person who looks at it."""


def propose(layout: Layout, texts: Sequence[Sequence[str]]) -> list[Proposal]:
    """`texts`: for each line of the layout what it says on each photo, '' if that is not known."""
    codes = [
        Proposal("code", code.box, {"from": "given"}, symbology=code.symbology, remarks=_seen(code.contents))
        for code in layout.codes
    ]
    codes = _named(codes)
    lines = []
    for box, said in zip(layout.lines, texts, strict=True):
        line = _line(box, said)
        for code, found in zip(codes, layout.codes, strict=True):
            if line.expect["from"] in ("constant", "given") and (source := _from_code(said, found.contents)):
                line = replace(line, expect={"from": "code", "field": code.name, **source})
        lines.append(line)
    return [*_named(lines), *codes]


def corrected(said: Sequence[str]) -> list[str]:
    """What a line says on each photo, with similar characters put right: an O where the other photos have digits, for example."""
    small = {character for text in said for character in text if character.islower()}
    if small <= _LIKE_CAPITALS:
        said = [text.upper() for text in said]
    places = _places([text for text in said if text])
    return ["".join(map(_put_right, text, places)) if len(text) == len(places) else text for text in said]


def _put_right(character: str, place: str) -> str:
    if len(place) == 1 and _shape(character) == _shape(place):
        return place
    if place == _DIGIT:
        return character.translate(_DIGIT_FOR)
    return character.upper() if place == _LETTER else character


def _shape(character: str) -> str:
    """The same for all characters that are mistaken for each other."""
    return character.translate(_ALIKE).upper()


def _line(box: Box, said: Sequence[str]) -> Proposal:
    known = [text for text in said if text]
    places = _places(known)
    if not places or len(known) < _MOST * len(said):
        return Proposal("line", box, {"from": "given"}, remarks=_seen(said))
    remarks = _seen(said)
    if any(_is_date(known, form) for form in _DATES):
        forms = [form for form in _DATES if _is_date(known, form)]
        rule = " or ".join(f'"{form}"' for form in forms)
        remarks.append(f"a date: 'from: date' with format {rule} calculates it")
        return Proposal("date", box, {"from": "given"}, _pattern(_any_digits(places)), remarks=remarks)
    if sum(bool(_TIME.search(text)) for text in known) >= _MOST * len(known):
        remarks.append("a time: nobody knows it before, so any time passes")
        return Proposal("time", box, {"from": "pattern"}, _pattern(_any_digits(places)), remarks=remarks)
    name = _name("".join(places))
    if all(len(place) == 1 for place in places):
        value = "".join(places)
        # only with a pattern do characters that a font prints alike count as equal
        pattern = _pattern(places) if _PRINTED_ALIKE & set(value) else None
        return Proposal(name, box, {"from": "constant", "value": value}, pattern, remarks=remarks)
    return Proposal(name, box, {"from": "given"}, _pattern(places), remarks=remarks)


def _places(texts: Sequence[str]) -> list[str]:
    """For each place a character, or a set such as [0-9]. Empty if the texts differ in length."""
    if not texts:
        return []
    length, count = Counter(map(len, texts)).most_common(1)[0]
    if count < _MOST * len(texts):
        return []
    return [_place(characters) for characters in zip(*(text for text in texts if len(text) == length), strict=True)]


def _place(characters: Sequence[str]) -> str:
    if len(set(map(_shape, characters))) == 1:
        return Counter(characters).most_common(1)[0][0]
    digits = sum(character.isdecimal() for character in characters)
    maybe = sum(character.translate(_DIGIT_FOR).isdecimal() for character in characters)
    if digits >= 0.5 * len(characters) and maybe >= 0.9 * len(characters):
        return _DIGIT
    if sum("A" <= character <= "Z" for character in characters) >= 0.9 * len(characters):
        return _LETTER
    others = sorted({character for character in characters if not re.match("[A-Z0-9]", character)})
    return "[A-Z0-9" + "".join("\\" + other if not other.isalnum() else other for other in others) + "]"


def _any_digits(places: Sequence[str]) -> list[str]:
    return [_DIGIT if place.isdecimal() else place for place in places]


def _pattern(places: Sequence[str]) -> str:
    """As the config writes it: `LOT [0-9]{4}-[0-9]{2}`."""
    pieces = []
    for place, run in groupby(places):
        count = len(list(run))
        if len(place) == 1:
            pieces.append(re.sub(r"([\^$.|?*+()\[\]{}\\])", r"\\\1", place) * count)
        else:
            pieces.append(place + (f"{{{count}}}" if count > 1 else ""))
    return "".join(pieces)


def _is_date(texts: Sequence[str], form: str) -> bool:
    return sum(_fits(text, form) for text in texts) >= _MOST * len(texts)


def _fits(text: str, form: str) -> bool:
    with suppress(ValueError):
        return datetime.strptime(text, form).strftime(form) == text
    return False


def _from_code(said: Sequence[str], contents: Sequence[str | None]) -> dict[str, str] | None:
    """How the text repeats a GS1 element of the code, if it does so on nearly all photos."""
    forms: dict[str, Counter[str]] = {}
    both = [(text, content) for text, content in zip(said, contents, strict=True) if text and content]
    for text, content in both:
        with suppress(ValueError):
            for ai, value in gs1.elements(content).items():
                if len(value) > 2 and text.count(value) == 1:
                    forms.setdefault(ai, Counter())[text.replace(value, "{}")] += 1
    for ai, form in forms.items():
        if form.total() >= _MOST * len(both):
            printed, _ = form.most_common(1)[0]
            return {"ai": ai} | ({} if printed == "{}" else {"printed": printed})
    return None


def _seen(texts: Sequence[str | None]) -> list[str]:
    often = [text for text, _ in Counter(text for text in texts if text).most_common(3)]
    return [one_line("read: " + ", ".join(text.replace(gs1.SEPARATOR, "<FNC1>") for text in often))] if often else []


def _name(text: str) -> str:
    """The word that the line begins with, as the name of a field."""
    word = re.match(r"[A-Z]{2,20}\b", text)
    return word.group().lower() if word else "line"


def _named(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Each name once: `line_1`, `line_2`."""
    often = Counter(proposal.name for proposal in proposals)
    seen = Counter[str]()
    named = []
    for proposal in proposals:
        seen[proposal.name] += 1
        is_one_of_many = often[proposal.name] > 1 or proposal.name == "line"
        named.append(replace(proposal, name=f"{proposal.name}_{seen[proposal.name]}") if is_one_of_many else proposal)
    return named
