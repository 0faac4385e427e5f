"""The calibration photos that decide the threshold: look at them first, since a labelling error there costs most."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from inspectd.contact_sheet import Tile, write_contact_sheet
from inspectd.files.text_file import one_line
from inspectd.inference.manifest import Threshold
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.card.markdown import literal, table
from inspectd_tools.deploy.judged import Judged, Product

SHEET = "deciding.jpg"
_MOST_PASSED, _MOST_BELOW = 12, 3
_RED_BGR, _BLACK = (0, 0, 200), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Deciding:
    """A faulty or unknown calibration photo that passes, or that is just below the threshold."""

    path: Path
    truth: str
    certainty: float
    """As the pass class."""
    passes: bool

    @property
    def outcome(self) -> str:
        return "passes" if self.passes else "just below"


def deciding_photos(calibration: Judged, product: Product, threshold: Threshold) -> list[Deciding]:
    """The highest certainty first. Of faulty and of unknown photos each: up to 12 that pass, and the 3 that are next.

    A photo that passes at no threshold is not among them.
    """
    certainty = calibration.certainty(product)
    truths = [calibration.names[label] for label in calibration.images.labels]
    found = []
    for is_unknown in (False, True):
        bad = [
            place
            for place in np.argsort(-certainty, kind="stable").tolist()
            if certainty[place] > 0
            and truths[place] != product.pass_class
            and truths[place].startswith(UNKNOWN) == is_unknown
        ]
        passes = [place for place in bad if certainty[place] >= threshold.value]
        found += passes[:_MOST_PASSED] + bad[len(passes) :][:_MOST_BELOW]
    return [
        Deciding(
            calibration.images.files[place],
            truths[place],
            float(certainty[place]),
            bool(certainty[place] >= threshold.value),
        )
        for place in sorted(found, key=lambda place: -certainty[place])
    ]


def write_sheet(folder: Path, photos: Sequence[Deciding]) -> None:
    """`deciding.jpg`, if there are such photos. Raises OSError."""
    if photos:
        tiles = [
            Tile(
                photo.path,
                (f"{photo.outcome}: {photo.truth}", f"{photo.certainty:.4f} {photo.path.name}"),
                _RED_BGR if photo.passes else _BLACK,
            )
            for photo in photos
        ]
        write_contact_sheet(folder / SHEET, tiles)


def deciding_section(photos: Sequence[Deciding]) -> list[str]:
    """For the card. Empty if there are no such photos."""
    if not photos:
        return []
    return [
        "### Photos that decide the threshold",
        "",
        "These faulty and unknown calibration photos have the highest certainty as good. A good label among them is a labelling "
        "error: put it into its right folder and build again. Others show what the network can't distinguish from a good label.",
        *table(
            ("is", "image", "certainty", "at the threshold"),
            [
                (literal(photo.truth), literal(photo.path.name), f"{photo.certainty:.4f}", photo.outcome)
                for photo in photos
            ],
        ),
        f"![Calibration photos that decide the threshold]({SHEET})",
        "",
    ]


def deciding_text(photos: Sequence[Deciding]) -> Text:
    """For the terminal, with whole paths."""
    width = max((len(photo.truth) for photo in photos), default=0)
    lines = [
        f"  {photo.certainty:.4f} {photo.outcome:10} {photo.truth:{width}} {one_line(str(photo.path))}"
        for photo in photos
    ]
    heading = (
        "Photos that decide the threshold (a good label among them is a labelling error):"
        if photos
        else "No faulty or unknown calibration photo looks like a good one."
    )
    return Text("\n".join([heading, *lines]), no_wrap=True, overflow="ignore")
