"""Decide what a line says, from the network's symbol probabilities and the texts that are right.

The gate is the likelihood of an allowed text. All other texts are looked at only if none is accepted, to name what is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inspectd.text.crop import Box
from inspectd.text.ctc import Neighbours, best_text, log_likelihoods, neighbours
from inspectd.text.reading import DAMAGED, Character, Reading, TextVerdict

_ALIKE: Final = ("0O", "1I")
"""Characters that many fonts print alike. They count as equal where the field's pattern allows only one of the two."""
Places = Sequence[frozenset[str]]
"""For each place of a text the characters that are allowed there."""


class Pattern(Protocol):
    @property
    def places(self) -> tuple[frozenset[str], ...]: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line to verify."""

    box: Box
    font: str
    allowed: tuple[str, ...] | Pattern
    """Any of these texts is right. If there is none, nothing is accepted. A pattern: any text that it allows is right."""
    pattern: Pattern | None = None
    """What the field can say at all: where it allows a digit but not the letter, 0 and O count as equal, also 1 and I."""


@dataclass(frozen=True, slots=True)
class _Edit:
    index: int
    expected: str
    found: str
    log_likelihood: float = -np.inf
    """Of the whole text with this edit."""


class Judge:
    """`alphabet`: the characters of the symbols after the blank and the damaged character."""

    def __init__(self, alphabet: str) -> None:
        self._characters = ["", DAMAGED, *alphabet]
        self._symbols = {character: place for place, character in enumerate(self._characters) if place > 1}
        self._pairs = [pair for pair in _ALIKE if set(pair) <= set(alphabet)]

    def unknown_characters(self, text: str) -> list[str]:
        """Characters of the text that the reader does not know."""
        return sorted(set(text) - set(self._symbols))

    def judge(self, log_probs: NDArray[np.float32], line: Line, threshold: float) -> Reading:
        """(T, symbols) of the line's crop -> what it says."""
        columns = self._with_pairs(np.asarray(log_probs, np.float64))
        pattern = line.pattern
        if isinstance(line.allowed, tuple):
            texts = line.allowed
        else:
            pattern = line.allowed
            texts = (self._fitting(columns, pattern.places),)
        texts = tuple(text for text in texts if text and not self.unknown_characters(text))
        if not texts:
            return Reading("unreadable", "", -np.inf)
        spelled = [self._spelled(text, pattern) for text in texts]
        fits = log_likelihoods(columns, spelled)
        best = int(np.argmax(fits))
        score = float(fits[best]) - threshold
        if score >= 0:
            return Reading("right", texts[best], score)
        verdict, worst = self._fault(columns, line.box, texts[best], spelled[best], threshold)
        return Reading(verdict, texts[best], score, worst)

    def log_likelihoods(self, log_probs: NDArray[np.float32], texts: Sequence[str]) -> list[float]:
        """Of each text, without pairs; -inf if the line has no room for it."""
        spelled = [self._spelled(text, None) for text in texts]
        return [float(value) for value in log_likelihoods(log_probs, spelled)]

    def _with_pairs(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """With one symbol more for each pair of characters that look alike: it is either of them."""
        pairs = [[self._symbols[character] for character in pair] for pair in self._pairs]
        both = [np.logaddexp(log_probs[:, first], log_probs[:, second])[:, None] for first, second in pairs]
        return np.concatenate([log_probs, *both], axis=1)

    def _spelled(self, text: str, pattern: Pattern | None) -> list[int]:
        """The symbols of the text, with that of a pair where the pattern allows one of the two characters only."""
        places = None if pattern is None or len(pattern.places) != len(text) else pattern.places
        symbols: list[int] = []
        for index, character in enumerate(text):
            symbol = self._symbols[character]
            for number, pair in enumerate(self._pairs):
                if places is not None and character in pair and len(places[index] & set(pair)) < len(pair):
                    symbol = len(self._characters) + number
            # of two neighbours that share a character, a single print could count as both
            if symbols and symbol != symbols[-1] and self._shared(symbol, symbols[-1]):
                symbol = self._symbols[character]
                symbols[-1] = self._symbols[text[index - 1]]
            symbols.append(symbol)
        return symbols

    def _shared(self, first: int, second: int) -> bool:
        return bool(self._prints(first) & self._prints(second))

    def _prints(self, symbol: int) -> set[str]:
        plain = len(self._characters)
        return set(self._pairs[symbol - plain]) if symbol >= plain else {self._characters[symbol]}

    def _fitting(self, columns: NDArray[np.float64], places: Places) -> str:
        """The most probable text that the pattern allows, or nearly so."""
        read = self._text(best_text(columns[:, : len(self._characters)]))
        if len(read) == len(places) and all(map(frozenset.__contains__, places, read)):
            return read
        choices = [[self._symbols[character] for character in sorted(place & set(self._symbols))] for place in places]
        if not all(choices):
            return ""
        sets = np.stack([np.logaddexp.reduce(columns[:, choice], axis=1) for choice in choices], axis=1)
        blank = columns[:, :1]
        own_symbols = range(1, len(places) + 1)
        if not np.isfinite(log_likelihoods(np.concatenate([blank, sets], axis=1), [own_symbols])[0]):
            return ""
        found = neighbours(np.concatenate([blank, sets], axis=1), own_symbols).columns
        best = (choice[int(columns[column, choice].argmax())] for choice, column in zip(choices, found, strict=True))
        return self._text(best)

    def _text(self, symbols: Iterable[int]) -> str:
        return "".join(self._characters[symbol] for symbol in symbols)

    def _fault(
        self, columns: NDArray[np.float64], box: Box, text: str, spelled: list[int], threshold: float
    ) -> tuple[TextVerdict, Character | None]:
        plain = columns[:, : len(self._characters)]
        read = best_text(plain)
        if not read:
            return "missing", None
        edit = _Edit(0, text[0], DAMAGED)
        middles = (np.arange(len(text)) + 0.5) / len(text)
        if np.isfinite(log_likelihoods(columns, [spelled])[0]):
            near = neighbours(columns, spelled)
            edit = self._best_edit(near, text, spelled)
            middles = (near.columns + 0.5) / len(columns)
        whole = float(log_likelihoods(plain, [read])[0])
        if whole > edit.log_likelihood:  # it differs in more than one character
            others = self._first_difference(text, spelled, read)
            edit = _Edit(*others, whole) if others else edit
        is_clear = edit.log_likelihood >= threshold and DAMAGED not in (edit.found, *self._text(read))
        worst = Character(edit.index, edit.expected, edit.found, _place(edit.index, middles, box))
        return "wrong" if is_clear else "unreadable", worst

    def _best_edit(self, near: Neighbours, text: str, spelled: list[int]) -> _Edit:
        substituted = near.substituted[:, : len(self._characters)].copy()
        for index, symbol in enumerate(spelled):
            substituted[index, [self._symbols[character] for character in self._prints(symbol)]] = -np.inf
        inserted = near.inserted[:, : len(self._characters)]
        place, symbol = divmod(int(substituted.argmax()), len(self._characters))
        edits = [_Edit(place, text[place], self._characters[symbol], float(substituted.max()))]
        place, symbol = divmod(int(inserted.argmax()), len(self._characters))
        edits.append(_Edit(place, "", self._characters[symbol], float(inserted.max())))
        place = int(near.lost.argmax())
        edits.append(_Edit(place, text[place], "", float(near.lost.max())))
        return max(edits, key=lambda edit: edit.log_likelihood)

    def _first_difference(self, text: str, spelled: list[int], read: list[int]) -> tuple[int, str, str] | None:
        seen = list(self._text(read))
        if len(read) == len(spelled):  # the other one of a pair that counts as equal is not a difference
            seen = [
                text[index] if character in self._prints(spelled[index]) else character
                for index, character in enumerate(seen)
            ]
        for kind, begin, end, first, last in SequenceMatcher(None, text, seen, autojunk=False).get_opcodes():
            if kind != "equal":
                expected = text[begin] if begin < end else ""
                return begin, expected, seen[first] if first < last else ""
        return None


def _place(index: int, middles: NDArray[np.float64], box: Box) -> Box:
    """The box of a character. `middles`: of all characters, as shares of the line's width."""
    index = min(index, len(middles) - 1)
    left, top, width, height = box
    halfway = (middles[1:] + middles[:-1]) / 2
    half = float(np.median(np.diff(middles))) / 2 if len(middles) > 1 else 0.5
    begin = halfway[index - 1] if index else middles[0] - half
    end = halfway[index] if index < len(halfway) else middles[-1] + half
    begin, end = max(float(begin), 0), min(float(end), 1)
    return left + round(begin * width), top, max(round((end - begin) * width), 1), height
