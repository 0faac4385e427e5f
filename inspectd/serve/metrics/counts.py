"""What the metrics count, from the journal's change feed. Counts only ever grow: over restarts of this program and of the line, while
retention deletes old parts, and if another journal takes the place of this one.

A part is counted once, when the gate has acted on it: until then a pass may still become `missed`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from inspectd.files.atomic_write import atomic_write
from inspectd.part import Fault
from inspectd.records.feed import Change
from inspectd.serve.following import Gap, Place

log = structlog.get_logger()

_VERDICT_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
_LATENESS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)

_WINDOW = 2000
"""Parts come nearly in the order of their numbers. One that is so far behind the highest number was counted."""
_OUTAGES = 100


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Histogram(_Kept):
    """How many values are at most as large as each limit."""

    limits: tuple[float, ...]
    counts: list[int]
    """One per limit, and one for all larger values; not added up."""
    sum: float = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.limits, value)] += 1
        self.sum += max(0.0, value)


class Sum(_Kept):
    """Of values, and how many they were."""

    count: int = 0
    sum: float = 0.0

    def observe(self, value: float | None) -> None:
        if value is not None and isfinite(value):
            self.count += 1
            self.sum += value


def _empty(limits: tuple[float, ...]) -> Histogram:
    return Histogram(limits=limits, counts=[0] * (len(limits) + 1))


class _Waiting(_Kept):
    """A part on which the gate has not acted."""

    session: int
    verdict: str
    cause: str
    verdict_us: int


class _Seen(_Kept):
    """Which rows of the journal were counted."""

    highest: int | None = None
    """Number of a part."""
    missing: set[int] = set()
    """Numbers below the highest one whose part has not come yet."""
    waiting: dict[int, _Waiting] = {}
    stop: int = 0
    outage_parts: dict[int, int] = {}
    """Number of an outage -> its parts."""
    session: int = 0
    images_lost: int = 0
    """By this session."""
    notes_lost: int = 0
    unbalanced: int = 0
    """The last session whose books did not balance."""


class Counts(_Kept):
    """One thread at a time may use it."""

    version: Literal[1] = 1
    place: Place | None = None
    parts: dict[str, Counter[str]] = {}
    """Verdict -> cause -> parts. The cause names a verdict further: what the guard found, why the text is wrong, why there was no
    inspection, or the class of the fault."""
    gate: Counter[str] = Counter()
    """What the gate did -> parts."""
    verdict_s: Histogram = Field(default_factory=lambda: _empty(_VERDICT_S))
    lateness_s: Histogram = Field(default_factory=lambda: _empty(_LATENESS_S))
    brightness: Sum = Field(default_factory=Sum)
    sharpness: Sum = Field(default_factory=Sum)
    stops: Counter[str] = Counter()
    outages: Counter[str] = Counter()
    unrecorded: int = 0
    """Rejected parts that have no row."""
    starts: int = 0
    unbalanced: int = 0
    """Sessions whose line counted another number of parts than the journal."""
    images_lost: int = 0
    notes_lost: int = 0
    skipped: int = 0
    """Changes that were deleted before they were counted, at most."""
    newest_utc_ns: int | None = None
    """The trigger of the newest part."""
    seen: _Seen = Field(default_factory=_Seen)

    def take(self, change: Change) -> None:
        row = change.row
        match change.kind:
            case "part":
                self._part(row)
            case "stop" if row["id"] > self.seen.stop:
                self.seen.stop = row["id"]
                self.stops[row["reason"]] += 1
            case "outage":
                self._outage(row)
            case "session":
                self._session(row)

    def skip(self, gap: Gap) -> None:
        """Some changes can't be counted."""
        self.skipped += gap.numbers or 0
        if gap.reason != "deleted":  # the numbers of rows are those of another journal
            self._count(list(self.seen.waiting))
            self.seen = _Seen()

    def _part(self, row: dict[str, Any]) -> None:
        number = row["id"]
        if self._is_new(number):
            self.brightness.observe(row["brightness"])
            self.sharpness.observe(row["sharpness"])
        elif number not in self.seen.waiting:
            return
        self.newest_utc_ns = max(self.newest_utc_ns or 0, row["t_utc_ns"])
        cause = row["anomaly_kind"] or row["reason"] or (row["class"] if row["verdict"] == Fault.word else "")
        self.seen.waiting[number] = _Waiting(
            session=row["session"], verdict=row["verdict"], cause=cause, verdict_us=row["verdict_us"]
        )
        if row["gate_outcome"] is not None:
            self.gate[row["gate_outcome"]] += 1
            if row["gate_lateness_us"] is not None:
                self.lateness_s.observe(row["gate_lateness_us"] / 1e6)
            self._count([number])

    def _is_new(self, number: int) -> bool:
        seen = self.seen
        highest = number - 1 if seen.highest is None else seen.highest
        if number > highest:
            first = number - _WINDOW
            if seen.missing:
                seen.missing = {each for each in seen.missing if each >= first}
            seen.missing.update(range(max(highest + 1, first), number))
            seen.highest = number
            self._count([each for each in seen.waiting if each < first])
            return True
        if number in seen.missing:
            seen.missing.remove(number)
            return True
        return False

    def _count(self, numbers: Iterable[int]) -> None:
        """Nothing about these parts will change."""
        for number in numbers:
            part = self.seen.waiting.pop(number)
            self.parts.setdefault(part.verdict, Counter())[part.cause] += 1
            self.verdict_s.observe(part.verdict_us / 1e6)

    def _outage(self, row: dict[str, Any]) -> None:
        number, parts = row["id"], self.seen.outage_parts
        if number not in parts:
            if parts and number < min(parts):
                return
            self.outages[row["kind"]] += 1
        self.unrecorded += max(0, row["parts"] - parts.get(number, 0))
        parts[number] = row["parts"]
        while len(parts) > _OUTAGES:
            del parts[min(parts)]

    def _session(self, row: dict[str, Any]) -> None:
        number, seen = row["id"], self.seen
        if number > seen.session:
            self.starts += seen.session > 0
            seen.session, seen.images_lost, seen.notes_lost = number, 0, 0
            self._count([part for part, waiting in seen.waiting.items() if waiting.session < number])
        if row["ended_cleanly"] and row["triggers"] not in (None, row["accounted"]) and number > seen.unbalanced:
            seen.unbalanced = number
            self.unbalanced += 1
        if number == seen.session:
            self.images_lost += max(0, row["images_lost"] - seen.images_lost)
            self.notes_lost += max(0, row["notes_lost"] - seen.notes_lost)
            seen.images_lost, seen.notes_lost = row["images_lost"], row["notes_lost"]

    def write(self, path: Path) -> None:
        """Raises OSError."""
        with atomic_write(path, flush=True) as unfinished:
            unfinished.write_text(self.model_dump_json())


def read_counts(path: Path) -> Counts:
    """What `Counts.write` has written. Counts that begin at 0 if the file is missing or can't be used."""
    try:
        return Counts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Counts()
    except (OSError, ValueError) as error:
        log.warning("the kept counts can't be read: counting begins at 0", file=str(path), error=str(error))
        return Counts()
