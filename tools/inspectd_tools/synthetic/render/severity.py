"""How large the faults of rendered labels are: from the smallest that a careful person rejects to gross ones."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

Severity = Literal["all", "gross", "small"]
SEVERITIES: Final[tuple[Severity, ...]] = ("all", "gross", "small")
"""all: the whole range; small: below the sizes of gross."""
Unit = Literal["px", "degrees"]


@dataclass(frozen=True, slots=True)
class Sizes:
    smallest: float
    gross: float
    """From here on a fault is gross."""
    largest: float
    unit: Unit = "px"

    def draw(self, rng: np.random.Generator, severity: Severity) -> float:
        """A random size; its logarithm is uniform, so that small sizes are as frequent as large ones."""
        low = self.gross if severity == "gross" else self.smallest
        high = self.gross if severity == "small" else self.largest
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def severity(self, size: float) -> float:
        """0 for the smallest, 1 for the largest."""
        return float(np.clip(np.log(size / self.smallest) / np.log(self.largest / self.smallest), 0, 1))


SIZES: Final = {
    "fail_label_crooked_print": Sizes(2.5, 3, 15, "degrees"),
    "fail_label_half_printed": Sizes(15, 56, 223),
    "double_print": Sizes(4, 13, 48),
    "smear": Sizes(24, 110, 200),
    "oil_spot": Sizes(16, 170, 300),
    "foreign_object": Sizes(16, 120, 340),
    "spatter": Sizes(6, 24, 80),
    "scratch": Sizes(2, 5, 12),
    "specks": Sizes(8, 16, 40),
    "shifted_print": Sizes(15, 30, 65),
}
"""Turn; width lost at the edge; distance of the two prints; height of the smeared band; diameter of the spot; length of the object;
diameter of the largest drop; width of the scratch; diameter of the largest speck (a smaller one outside the print is harmless dust);
shift from the usual place."""
