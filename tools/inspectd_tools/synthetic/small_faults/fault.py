"""Kinds of small faults: what their size means, and which sizes are worth trying."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "lost ink",
    "missing character",
    "broken nozzle",
    "spatter",
    "scratch",
    "smear",
    "fading",
    "turned print",
    "shifted print",
    "speck",
    "dent",
    "blur",
]

SHORT_SIDE_PX: Final = 480
"""The largest sizes in px are for photos whose short side has this length. They grow with it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the size of a kind of fault is."""

    meaning: str
    unit: Literal["px", "px of ink", "%", "degrees"]
    smallest: float = 0
    largest: float = 0
    """Both 0: the characters of the print say it."""
    needs_print: bool = True

    def tried(self, short_side_px: int) -> tuple[float, float]:
        """Smallest and largest size for a photo. The smallest is a matter of the camera's pixels, the largest of the photo."""
        scale = short_side_px / SHORT_SIDE_PX if self.unit == "px" else 1
        return self.smallest, max(self.largest * scale, 3 * self.smallest)


KINDS: Final[Mapping[Kind, Sizes]] = {
    "lost ink": Sizes("side of a square without ink", "px", 2, 48),
    "missing character": Sizes("area of the strokes that are missing", "px of ink"),
    "broken nozzle": Sizes("width of a line without ink through the whole print", "px", 0.3, 6),
    "spatter": Sizes("diameter of a blot of ink beside the strokes", "px", 1, 24),
    "scratch": Sizes("width; a quarter of the photo's diagonal long", "px", 0.5, 8, needs_print=False),
    "smear": Sizes("how far the print is dragged in one place", "px", 2, 48),
    "fading": Sizes("share of its darkness that the whole print has lost", "%", 3, 80),
    "turned print": Sizes("angle against the usual one", "degrees", 0.5, 8),
    "shifted print": Sizes("distance from the usual place", "px", 2, 40),
    "speck": Sizes("diameter of a dark spot beside the print", "px", 1, 24, needs_print=False),
    "dent": Sizes("diameter of a shading, bright on one side and dark on the other", "px", 4, 96, needs_print=False),
    "blur": Sizes("sigma of the blur of the whole photo", "px", 0.4, 6, needs_print=False),
}


@dataclass(frozen=True, slots=True)
class SmallFault:
    kind: Kind
    size: float
    """In the unit of `KINDS[kind]`, above 0."""

    def __str__(self) -> str:
        return f"{self.kind}, {with_unit(self.size, self.kind)}"


def with_unit(size: float, kind: Kind) -> str:
    """Three digits, or all those before the point: "2.57 px"."""
    return f"{size:.0f} {KINDS[kind].unit}" if size >= 1000 else f"{size:.3g} {KINDS[kind].unit}"
