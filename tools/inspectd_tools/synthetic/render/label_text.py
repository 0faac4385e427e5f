"""What a label says: in its text, and once more in its Data Matrix."""

from dataclasses import dataclass
from datetime import date, time
from typing import Final

import numpy as np

GTINS: Final = {
    "09G 325 429 A": "09521234500018",
    "02E 305 051 C": "09521234500025",
    "0BH 325 183 B": "09521234500032",
    "0AM 325 433 E": "09521234500049",
    "0B5 325 330 A": "09521234500056",
    "0CK 301 515 D": "09521234500063",
}
"""Part number -> GTIN-14. GS1 reserves the prefix 952 for examples."""


@dataclass(frozen=True, slots=True)
class LabelText:
    part_number: str
    """One of `GTINS`."""
    lot: str
    made: date
    at: time
    station: str

    @property
    def lines(self) -> tuple[str, str, str, str]:
        """As printed, from top to bottom."""
        return self.part_number, f"LOT {self.lot}", self.made.isoformat(), f"{self.at:%H:%M} {self.station}"

    @property
    def code(self) -> str:
        """The GS1 element string: GTIN (01), day of production (11) and lot (10), as people read it."""
        return f"(01){GTINS[self.part_number]}(11){self.made:%y%m%d}(10){self.lot}"

    @property
    def truth(self) -> dict[str, str]:
        """Field -> text, and the content of the code."""
        part_number, _, made, _ = self.lines
        return {
            "part_number": part_number,
            "lot": self.lot,
            "date": made,
            "time": f"{self.at:%H:%M}",
            "station": self.station,
            "code": self.code,
        }


def random_text(rng: np.random.Generator) -> LabelText:
    return LabelText(
        part_number=str(rng.choice(list(GTINS))),
        lot=f"{rng.integers(1000, 9999)}-{rng.integers(10, 99)}",
        made=date(int(rng.integers(2024, 2028)), int(rng.integers(1, 13)), int(rng.integers(1, 29))),
        at=time(int(rng.integers(0, 24)), int(rng.integers(0, 60))),
        station=f"S{rng.integers(1, 4)}",
    )
