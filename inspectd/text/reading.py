"""What the reader found in one line of print."""

from dataclasses import dataclass
from typing import Literal

TextVerdict = Literal["right", "wrong", "unreadable", "missing"]
"""right: the print says an allowed text. wrong: it clearly says another text. unreadable: it can't be read with certainty, for
example because a character is damaged. missing: there is no text."""

DAMAGED = "?"
"""What is found where a character can't be recognised."""


@dataclass(frozen=True, slots=True)
class Character:
    """One character that differs from the expected text."""

    index: int
    """Place in the expected text."""
    expected: str
    """'' if the print has a character too many here."""
    found: str
    """'' if the character is lost, '?' if it is damaged."""
    box: tuple[int, int, int, int]
    """Left, top, width and height in px of the straightened print."""


@dataclass(frozen=True, slots=True)
class Reading:
    verdict: TextVerdict
    text: str
    """The allowed text that fits best; of a pattern, the text that was read."""
    score: float
    """How far the text's log-likelihood is above the threshold of its font; below 0 the text is not accepted."""
    worst: Character | None = None
    """The character that differs most; None if the verdict is right or missing."""
