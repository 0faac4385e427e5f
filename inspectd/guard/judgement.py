"""What a guard says of an image: one score per thing that it looks at, with the place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspectd.guard.measurement import Measurements
from inspectd.guard.placement import Matrix
from inspectd.part import AnomalyKind

Map = NDArray[np.float32]
"""(rows, columns): one value per place."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: AnomalyKind
    score: float
    """Higher is worse. About 1 is usual. What is too much is chosen with other good images (`limits`)."""
    box: tuple[int, int, int, int]
    """left, top, width, height in px of the image."""


@dataclass(frozen=True, slots=True)
class Judgement:
    findings: tuple[Finding, ...]
    """In the order of the guard's `kinds`."""
    maps: tuple[Map, ...]
    """Of each view, the scores of all its places."""
    measured: Measurements | None
    """How the print lies; None if the guard looks at no print."""
    print_to_image: Matrix | None = None
    """From px of the straightened print to px of the image; None if the guard looks at no print."""

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(finding.score for finding in self.findings)
