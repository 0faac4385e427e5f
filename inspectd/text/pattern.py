"""Patterns of a fixed length: one set of allowed characters for each place of a text, written like a regular expression."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

MAX_LENGTH = 100
_SPECIAL = frozenset("^$.|?*+()]}{")
DIGITS = frozenset("0123456789")


@dataclass(frozen=True)
class Pattern:
    """`LOT [0-9]{4}-[0-9]{2}`: characters, sets in brackets, and `{n}` for n times. A backslash makes the next character plain."""

    source: str

    def __post_init__(self) -> None:
        """Raises ValueError that says what is wrong with the pattern."""
        if not self.places:
            raise ValueError("the pattern is empty")

    @cached_property
    def places(self) -> tuple[frozenset[str], ...]:
        """The allowed characters of each place."""
        places: list[frozenset[str]] = []
        for piece in _pieces(self.source):
            if isinstance(piece, frozenset):
                places.append(piece)
            elif not places:
                raise ValueError("{n} must follow the character or the set that it repeats")
            else:
                places.extend(places[-1:] * (piece - 1))
            if len(places) > MAX_LENGTH:
                raise ValueError(f"a text may have at most {MAX_LENGTH} characters")
        return tuple(places)

    def matches(self, text: str) -> bool:
        return len(text) == len(self.places) and all(map(frozenset.__contains__, self.places, text))


def _pieces(source: str) -> Iterator[frozenset[str] | int]:
    """Sets of characters, and how often the last one is repeated. Raises ValueError."""
    rest = iter(source)
    repeats = False
    for character in rest:
        if character == "{":
            number = "".join(_until("}", rest))
            if repeats or not (number.isascii() and number.isdecimal() and 1 <= int(number[:4]) <= MAX_LENGTH):
                raise ValueError(f"{{{number}}} is not allowed: write {{4}} to have the last character four times")
            repeats = True
            yield int(number)
            continue
        repeats = False
        if character == "[":
            yield _set([*_until("]", rest)])
        elif character in _SPECIAL:
            raise ValueError(
                f"{character!r} has no meaning in a pattern of a fixed length; for the character itself write \\{character}"
            )
        else:
            yield frozenset(_plain(character, rest))


def _until(end: str, rest: Iterator[str]) -> Iterator[str]:
    for character in rest:
        if character == end:
            return
        yield _plain(character, rest) if character == "\\" else character
    raise ValueError(f"{end!r} is missing")


def _plain(character: str, rest: Iterator[str]) -> str:
    if character != "\\":
        return character
    following = next(rest, "")
    if not following or following.isalnum():
        raise ValueError("a backslash must be followed by the character that it makes plain; write [0-9] for a digit")
    return following


def _set(characters: list[str]) -> frozenset[str]:
    if not characters or characters[0] == "^":
        raise ValueError("a set must name its characters, such as [A-Z0-9]")
    allowed = set[str]()
    while characters:
        first = characters.pop(0)
        if len(characters) >= 2 and characters[0] == "-":
            last = characters[1]
            del characters[:2]
            if not first <= last:
                raise ValueError(f"[{first}-{last}] is not allowed: the first character comes after the last one")
            allowed.update(map(chr, range(ord(first), ord(last) + 1)))
        else:
            allowed.add(first)
    return frozenset(allowed)
