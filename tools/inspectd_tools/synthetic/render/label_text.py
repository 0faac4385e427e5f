"""What a label says: in its text, and once more in its Data Matrix."""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
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

_LABEL_S = 3
LINES: Final = ("part_number", "lot", "date", "time")
"""The fields of text, from top to bottom."""


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
    def fields(self) -> dict[str, str]:
        """Field -> what is printed there: the four lines, and the content of the code."""
        return {**dict(zip(LINES, self.lines, strict=True)), "code": self.code}


def random_text(rng: np.random.Generator) -> LabelText:
    return LabelText(
        part_number=str(rng.choice(list(GTINS))),
        lot=f"{rng.integers(1000, 9999)}-{rng.integers(10, 99)}",
        made=date(int(rng.integers(2024, 2028)), int(rng.integers(1, 13)), int(rng.integers(1, 29))),
        at=time(int(rng.integers(0, 24)), int(rng.integers(0, 60))),
        station=f"S{rng.integers(1, 4)}",
    )


def texts_of_jobs(count: int, jobs: int, rng: np.random.Generator) -> list[LabelText]:
    """What `count` labels of one line say, one after the other, on one day.

    The jobs are equally long. Part number and lot change with the job. The time goes on by 3 s per label.
    """
    first = random_text(rng)
    begin = datetime.combine(first.made, time(6 + int(rng.integers(0, 8)), int(rng.integers(0, 60))))
    drawn = [replace(random_text(rng), made=first.made, station=first.station) for _ in range(jobs)]
    return [
        replace(drawn[index * jobs // count], at=(begin + timedelta(seconds=_LABEL_S * index)).time())
        for index in range(count)
    ]
