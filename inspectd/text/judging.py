"""Decide what a line says, from the network's symbol probabilities and the texts that are right.

The gate is the likelihood of an allowed text. All other texts are looked at only if none is accepted, to name what is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.text.crop import Box
from inspectd.text.ctc import Neighbours, best_text, log_likelihoods, neighbours
from inspectd.text.pattern import Pattern
from inspectd.text.reading import DAMAGED, Character, Reading, TextVerdict

_ALIKE: Final = ("0O", "1I")
"""Characters that many fonts print alike. They count as equal where the field's pattern allows only one of the two."""
Places = Sequence[frozenset[str]]
"""For each place of a text the characters that are allowed there."""


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
class _Target:
    """A text without its spaces: where one is expected, the print has a gap, which is not compared."""

    text: str
    characters: str
    indices: tuple[int, ...]
    """Place of each character in the text."""
    symbols: list[int]


@dataclass(frozen=True, slots=True)
class _Edit:
    index: int
    """Place among the characters, without the spaces."""
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
        """Characters of the text that the reader does not know. A space is a gap, which needs no symbol."""
        return sorted(set(text) - set(self._symbols) - {" "})

    def judge(self, log_probs: NDArray[np.float32], line: Line, threshold: float) -> Reading:
        """(T, symbols) of the line's crop -> what it says."""
        columns = self._with_pairs(np.asarray(log_probs, np.float64))
        pattern = line.pattern
        if isinstance(line.allowed, tuple):
            texts = line.allowed
        else:
            pattern = line.allowed
            texts = (self._fitting(columns, pattern.places),)
        targets = [self._target(text, pattern) for text in texts if text.strip() and not self.unknown_characters(text)]
        if not targets:
            return Reading("unreadable", "", -np.inf)
        fits = log_likelihoods(columns, [target.symbols for target in targets])
        best = int(np.argmax(fits))
        score = float(fits[best]) - threshold
        if score >= 0:
            return Reading("right", targets[best].text, score)
        verdict, worst = self._fault(columns, line.box, targets[best], threshold)
        return Reading(verdict, targets[best].text, score, worst)

    def log_likelihoods(
        self, log_probs: NDArray[np.float32], texts: Sequence[str], patterns: Sequence[Pattern | None] | None = None
    ) -> list[float]:
        """Of each text, in a field with its pattern; -inf if the line has no room for it."""
        pairs = zip(texts, patterns or [None] * len(texts), strict=True)
        symbols = [self._target(text, pattern).symbols for text, pattern in pairs]
        return [float(value) for value in log_likelihoods(self._with_pairs(np.asarray(log_probs, np.float64)), symbols)]

    def _with_pairs(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """With one symbol more for each pair of characters that look alike: it is either of them."""
        pairs = [[self._symbols[character] for character in pair] for pair in self._pairs]
        both = [np.logaddexp(log_probs[:, first], log_probs[:, second])[:, None] for first, second in pairs]
        return np.concatenate([log_probs, *both], axis=1)

    def _target(self, text: str, pattern: Pattern | None) -> _Target:
        """With the symbol of a pair where the pattern allows one of the two characters only."""
        indices = tuple(index for index, character in enumerate(text) if character != " ")
        characters = "".join(text[index] for index in indices)
        places = None if pattern is None or len(pattern.places) != len(text) else pattern.places
        symbols: list[int] = []
        for number, index in enumerate(indices):
            symbol = self._symbols[text[index]]
            for pair_number, pair in enumerate(self._pairs):
                if places is not None and text[index] in pair and len(places[index] & set(pair)) < len(pair):
                    symbol = len(self._characters) + pair_number
            # of two neighbours that share a character, a single print could count as both
            if symbols and symbol != symbols[-1] and self._shared(symbol, symbols[-1]):
                symbol = self._symbols[text[index]]
                symbols[-1] = self._symbols[characters[number - 1]]
            symbols.append(symbol)
        return _Target(text, characters, indices, symbols)

    def _shared(self, first: int, second: int) -> bool:
        return bool(self._prints(first) & self._prints(second))

    def _prints(self, symbol: int) -> set[str]:
        plain = len(self._characters)
        return set(self._pairs[symbol - plain]) if symbol >= plain else {self._characters[symbol]}

    def _fitting(self, columns: NDArray[np.float64], places: Places) -> str:
        """The most probable text that the pattern allows, or nearly so."""
        gap = frozenset(" ")
        shown = [place for place in places if place != gap]
        read = self._text(best_text(columns[:, : len(self._characters)]))
        if len(read) != len(shown) or not all(map(frozenset.__contains__, shown, read)):
            read = self._forced(columns, shown)
        characters = iter(read)
        return "".join(" " if place == gap else next(characters) for place in places) if read else ""

    def _forced(self, columns: NDArray[np.float64], places: Places) -> str:
        """The text that the pattern allows, also where other characters look more probable; '' if there is no room."""
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
        self, columns: NDArray[np.float64], box: Box, target: _Target, threshold: float
    ) -> tuple[TextVerdict, Character | None]:
        plain = columns[:, : len(self._characters)]
        read = best_text(plain)
        if not read:
            return "missing", None
        edit = _Edit(0, target.characters[0], DAMAGED)
        middles = (np.arange(len(target.characters)) + 0.5) / len(target.characters)
        if np.isfinite(log_likelihoods(columns, [target.symbols])[0]):
            near = neighbours(columns, target.symbols)
            edit = self._best_edit(near, target)
            middles = (near.columns + 0.5) / len(columns)
        whole = float(log_likelihoods(plain, [read])[0])
        if whole > edit.log_likelihood:  # it differs in more than one character
            edit = self._first_difference(target, read, whole) or edit
        is_clear = edit.log_likelihood >= threshold and DAMAGED not in (edit.found, *self._text(read))
        index = (*target.indices, len(target.text))[edit.index]
        worst = Character(index, edit.expected, edit.found, _place(edit.index, middles, box))
        return "wrong" if is_clear else "unreadable", worst

    def _best_edit(self, near: Neighbours, target: _Target) -> _Edit:
        characters = target.characters
        substituted = near.substituted[:, : len(self._characters)].copy()
        for index, symbol in enumerate(target.symbols):
            substituted[index, [self._symbols[character] for character in self._prints(symbol)]] = -np.inf
        inserted = near.inserted[:, : len(self._characters)]
        place, symbol = divmod(int(substituted.argmax()), len(self._characters))
        edits = [_Edit(place, characters[place], self._characters[symbol], float(substituted.max()))]
        place, symbol = divmod(int(inserted.argmax()), len(self._characters))
        edits.append(_Edit(place, "", self._characters[symbol], float(inserted.max())))
        place = int(near.lost.argmax())
        edits.append(_Edit(place, characters[place], "", float(near.lost.max())))
        return max(edits, key=lambda edit: edit.log_likelihood)

    def _first_difference(self, target: _Target, read: list[int], log_likelihood: float) -> _Edit | None:
        characters, seen = target.characters, list(self._text(read))
        if len(seen) == len(characters):  # the other one of a pair that counts as equal is not a difference
            prints = map(self._prints, target.symbols)
            seen = [own if found in same else found for own, found, same in zip(characters, seen, prints, strict=True)]
        for kind, begin, end, first, last in SequenceMatcher(None, characters, seen, autojunk=False).get_opcodes():
            if kind != "equal":
                expected = characters[begin] if begin < end else ""
                return _Edit(begin, expected, seen[first] if first < last else "", log_likelihood)
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
