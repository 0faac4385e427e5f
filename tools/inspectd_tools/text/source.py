"""Where lines come from: rendered in a face, or cut out of photos."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inspectd_tools.text.faces import Face
from inspectd_tools.text.lines import TRAINING, Line, blank, render
from inspectd_tools.text.texts import random_text

_DAMAGED_SHARE = 0.12
_BLANK_SHARE = 0.01


class Source(Protocol):
    def line(self, width: int, rng: np.random.Generator) -> Line:
        """A random line with a crop of `width` columns, some of them with a damaged character."""


@dataclass(frozen=True, slots=True)
class Rendered:
    face: Face
    characters: str
    """Those to print."""

    def line(self, width: int, rng: np.random.Generator) -> Line:
        if rng.random() < _BLANK_SHARE:
            return blank(width, rng, TRAINING)
        text = random_text(rng, max(round(width / 7), 2), self.characters)
        return render(text, self.face, width, rng, TRAINING, damage=rng.random() < _DAMAGED_SHARE)
