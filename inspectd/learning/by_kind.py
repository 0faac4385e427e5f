"""The certainties with which parts would pass, by what they show. A part counts once, however many photos of it there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspectd.learning.rates import Values

UNKNOWN = "unknown_"
"""The names of kinds of unknowns begin with it."""


@dataclass(frozen=True, slots=True)
class ByKind:
    """One pass certainty per part: that of its worst photo. The keys are fault classes and kinds of unknowns.

    The worst photo of a faulty or unknown part is the one with the largest certainty; of a good part, with the smallest.
    """

    good: Values
    faulty: dict[str, Values]
    unknown: dict[str, Values]

    @classmethod
    def of(
        cls,
        certainty: Values,
        labels: NDArray[np.int64],
        parts: NDArray[np.integer],
        names: Sequence[str],
        pass_class: str,
    ) -> "ByKind":
        """From the pass certainty, the label (index into `names`) and the number of the part of each photo, (N,) each.

        Names of unknowns begin with `unknown_`. A part that shows several faults counts once, for the first of them in
        `names`; the same for several kinds of unknowns.
        """
        good = list(names).index(pass_class)
        unknown = [label for label, name in enumerate(names) if name.startswith(UNKNOWN)]
        faulty = [label for label in range(len(names)) if label not in (good, *unknown)]

        def side(members: list[int], sign: int = 1) -> dict[str, Values]:
            here = np.isin(labels, members)
            _, part = np.unique(parts[here], return_inverse=True)
            worst = np.full(part.max(initial=-1) + 1, -np.inf, certainty.dtype)
            np.maximum.at(worst, part, sign * certainty[here])
            first = np.full(len(worst), len(names))
            np.minimum.at(first, part, labels[here])
            return {names[label]: sign * worst[first == label] for label in members}

        return cls(side([good], -1)[pass_class], side(faulty), side(unknown))

    @property
    def all_faulty(self) -> Values:
        return np.concatenate([np.empty(0, np.float32), *self.faulty.values()])

    @property
    def all_unknown(self) -> Values:
        return np.concatenate([np.empty(0, np.float32), *self.unknown.values()])
