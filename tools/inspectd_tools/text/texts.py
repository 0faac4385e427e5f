"""Texts to print: what labels say, and what a label nearly says when it is wrong."""

import functools
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from inspectd.text.pattern import Pattern

DIGITS: Final = "0123456789"
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MARKS: Final = "-./:()+#%"
ALPHABET: Final = DIGITS + LETTERS + MARKS
"""A space is not a character: where it is expected, the print has a gap."""

CONFUSED: Final = (
    "83",
    "0O",
    "17",
    "B8",
    "5S",
    "1I",
    "6G",
    "2Z",
    "09",
    "38",
    "69",
    "86",
    "0D",
    "4A",
    "CG",
    "EF",
    "VY",
    "UV",
    "MN",
    "QO",
    "PR",
)
"""Pairs of characters that look much alike, but for 0O and 1I."""

_WORDS: Final = (
    "LOT",
    "EXP",
    "MFG",
    "BEST BEFORE",
    "USE BY",
    "BATCH",
    "S/N",
    "REF",
    "NO.",
    "ART",
    "KG",
    "ML",
    "PROD",
    "CHARGE",
    "MHD",
)
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_FORMATS: Final = ("%d.%m.%Y", "%Y-%m-%d", "%d/%m/%y", "%d%m%y", "%H:%M", "%d.%m.%y", "%j%y", "%y%m%d")


def random_text(rng: np.random.Generator, length: int, characters: str = ALPHABET) -> str:
    """About `length` characters, of the kinds that labels have; sometimes random ones. Only of `characters`."""
    text = ""
    while len(text) < length:
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        text += (" " if text else "") + kind(rng)
    known = "".join(character for character in text[:length] if character in characters or character == " ")
    return " ".join(known.split()) or characters[0]


@functools.lru_cache(maxsize=4096)
def pattern_of(text: str) -> Pattern:
    """Of a field that says such texts: a digit, a letter, or this mark at each place."""
    sets = {**dict.fromkeys(DIGITS, "[0-9]"), **dict.fromkeys(LETTERS, "[A-Z]"), " ": " "}
    return Pattern("".join(sets.get(character, "\\" + character) for character in text))


def near_misses(text: str, rng: np.random.Generator) -> dict[str, str]:
    """Kind -> what the print of `text` nearly says."""
    found = {
        "digit": _with_other(text, DIGITS, rng),
        "digit by one": _with_digit_by_one(text, rng),
        "letter": _with_other(text, LETTERS, rng),
        "confused": _with_confused(text, rng),
        "lost": _without_one(text, rng),
        "inserted": _with_one_more(text, rng),
        "swapped": _with_two_swapped(text, rng),
    }
    return {kind: other for kind, other in found.items() if not is_alike(text, other)}


_ALIKE = str.maketrans("OI", "01")


def is_alike(text: str, other: str) -> bool:
    """Whether they differ at most in 0 and O, or 1 and I, which count as equal in a field with a pattern."""
    return text.replace(" ", "").translate(_ALIKE) == other.replace(" ", "").translate(_ALIKE)


def random_date(rng: np.random.Generator) -> str:
    """As `%d.%m.%Y`."""
    return f"{date(2020, 1, 1) + timedelta(days=int(rng.integers(6000))):%d.%m.%Y}"


def wrong_dates(text: str, rng: np.random.Generator) -> dict[str, str]:
    """Kind -> what the print of this date nearly says."""
    day = datetime.strptime(text, "%d.%m.%Y").date()
    found = {
        "yesterday": f"{day - timedelta(days=1):%d.%m.%Y}",
        "tomorrow": f"{day + timedelta(days=1):%d.%m.%Y}",
        "last year": text[:-4] + str(day.year - 1),
        "month swapped": f"{day:%m.%d.%Y}",
        "confused": _with_confused(text, rng),
    }
    return {kind: other for kind, other in found.items() if not is_alike(text, other)}


def all_confused(text: str) -> list[str]:
    """Every text in which one character is replaced by one that looks like it."""
    others = []
    for place, character in enumerate(text):
        for pair in CONFUSED:
            if character in pair:
                other = pair[1 - pair.index(character)]
                others.append(text[:place] + other + text[place + 1 :])
    return [other for other in others if not is_alike(text, other)]


def _date(rng: np.random.Generator) -> str:
    day = date(2020, 1, 1) + timedelta(days=int(rng.integers(6000)))
    if rng.random() < 0.15:
        return f"{day.day:02} {_MONTHS[day.month - 1]} {day.year}"
    text = day.strftime(str(rng.choice(_FORMATS)))
    if rng.random() < 0.05:  # a mark too many
        text = re.sub(r"([-./:])", r"\1\1", text, count=1)
    return text.replace("00:00", f"{rng.integers(24):02}:{rng.integers(60):02}")


def _number(rng: np.random.Generator) -> str:
    text = _drawn(rng, DIGITS, int(rng.integers(2, 9)))
    if rng.random() < 0.15:  # the same digit twice or more
        text = text[0] * int(rng.integers(2, 5)) + text
    if rng.random() < 0.3:
        mark = _drawn(rng, MARKS, 1)
        text += mark * (2 if rng.random() < 0.1 else 1) + _drawn(rng, DIGITS, int(rng.integers(1, 4)))
    return text


def _mixed(rng: np.random.Generator) -> str:
    return _drawn(rng, DIGITS + LETTERS, int(rng.integers(1, 8)))


def _letters(rng: np.random.Generator) -> str:
    return _drawn(rng, LETTERS, int(rng.integers(1, 6)))


def _words(rng: np.random.Generator) -> str:
    return str(rng.choice(_WORDS))


def _drawn(rng: np.random.Generator, characters: str, count: int) -> str:
    return "".join(characters[place] for place in rng.integers(len(characters), size=count))


_KINDS: Final[tuple[Callable[[np.random.Generator], str], ...]] = (
    *(_date, _date, _number, _number, _number),
    *(_mixed, _mixed, _mixed, _words, _letters),
)
"""Each as often as it is here."""


def _replaced(text: str, place: int, new: str) -> str:
    return text[:place] + new + text[place + 1 :]


def _places(text: str, characters: str) -> list[int]:
    return [place for place, character in enumerate(text) if character in characters]


def _with_other(text: str, characters: str, rng: np.random.Generator) -> str:
    places = _places(text, characters)
    if not places:
        return text
    place = int(rng.choice(places))
    return _replaced(text, place, str(rng.choice([other for other in characters if other != text[place]])))


def _with_digit_by_one(text: str, rng: np.random.Generator) -> str:
    places = _places(text, DIGITS)
    if not places:
        return text
    place = int(rng.choice(places))
    return _replaced(text, place, str((int(text[place]) + int(rng.choice([1, 9]))) % 10))


def _with_confused(text: str, rng: np.random.Generator) -> str:
    others = all_confused(text)
    return str(rng.choice(others)) if others else text


def _without_one(text: str, rng: np.random.Generator) -> str:
    places = _places(text, ALPHABET)
    return _replaced(text, int(rng.choice(places)), "") if len(places) > 1 else text


def _with_one_more(text: str, rng: np.random.Generator) -> str:
    place = int(rng.integers(len(text) + 1))
    near = text[max(place - 1, 0) : place + 1].replace(" ", "")
    more = str(rng.choice(list(near))) if near and rng.random() < 0.5 else _drawn(rng, DIGITS + LETTERS, 1)
    return text[:place] + more + text[place:]


def _with_two_swapped(text: str, rng: np.random.Generator) -> str:
    places = [
        place for place in range(len(text) - 1) if " " not in text[place : place + 2] and text[place] != text[place + 1]
    ]
    if not places:
        return text
    place = int(rng.choice(places))
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
