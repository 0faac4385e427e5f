"""Compare the verdicts of the line with the truth."""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inspectd.camera.image_files import SUFFIXES
from inspectd.errors import ConfigError, LineFault
from inspectd.files.csv_file import CsvRow, read_csv
from inspectd.files.json_file import parse_json
from inspectd.files.text_file import one_line, shown
from inspectd.part import Anomaly, Box, Missed, Pass, VerdictWords
from inspectd.records.reading import open_for_reading

UNKNOWN = "unknown"
WRONG_TEXT = "fail_label_date"
"""The class of labels that are printed well but say something wrong. No engine has it; only the text shows the fault."""

_WRONG_TEXTS = """
SELECT texts.* FROM texts JOIN parts ON parts.id = texts.part WHERE texts.verdict = parts.reason ORDER BY part, field
"""


@dataclass(frozen=True, slots=True)
class Truth:
    """One row of `truth.csv`. `label_class` is a class of the engine, WRONG_TEXT or `unknown`; `kind` is the kind of unknown."""

    file: str
    label_class: str
    kind: str
    fault: str = ""
    """Kind and size of the fault, such as `character 21 px`, where the table says them."""
    expected: Mapping[str, str] = field(default_factory=dict)
    """Field -> what the label should say, where the table says it."""

    @property
    def name(self) -> str:
        """The class, or the kind of unknown as `unknown_smear`."""
        return f"{UNKNOWN}_{self.kind}" if self.label_class == UNKNOWN else self.label_class


@dataclass(frozen=True, slots=True)
class WrongText:
    """The text field that decided a verdict."""

    field: str
    expected: tuple[str, ...]
    found: str
    box: Box


@dataclass(frozen=True, slots=True)
class Row:
    """One part in the journal."""

    part: int
    frame_number: int
    verdict: str
    reason: str | None
    predicted: str | None
    certainty: float | None
    scores: tuple[float, ...]
    gate_outcome: str | None
    verdict_us: int
    lateness_us: int | None
    image: str | None
    anomaly: Anomaly | None = None
    text: WrongText | None = None

    @property
    def passed(self) -> bool:
        """Whether the label passed: by the outcome at the gate, or by the verdict while there is no outcome."""
        return self.gate_outcome in ("passed", "not_driven") if self.gate_outcome else self.verdict == Pass.word

    @property
    def label(self) -> str:
        """The class or reason of the verdict."""
        return VerdictWords(self.verdict, self.reason, self.predicted).label

    @property
    def said(self) -> str:
        """`label`, with the excess of an anomaly: `anomaly 1.8x`; or with the field and what it says: `text_wrong date 24.11.2026`."""
        if self.anomaly is not None:
            return f"{self.label} {self.anomaly.excess:.1f}x"
        return f"{self.label} {self.text.field} {self.text.found}".rstrip() if self.text is not None else self.label

    @property
    def place(self) -> Box | None:
        """Where it is wrong, in px of the image: the anomaly, or the worst character of a text, or the whole field."""
        found = self.anomaly or self.text
        return None if found is None else found.box


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts over one run; `judged` pairs each part with its truth."""

    judged: list[tuple[Row, Truth]]
    pass_class: str

    @property
    def faulty_passed(self) -> int:
        return sum(row.passed for row, truth in self.judged if truth.label_class not in self._apart)

    @property
    def faulty(self) -> int:
        return sum(truth.label_class not in self._apart for _, truth in self.judged)

    @property
    def wrong_text_passed(self) -> int:
        return sum(row.passed for row, truth in self.judged if truth.label_class == WRONG_TEXT)

    @property
    def wrong_text(self) -> int:
        return sum(truth.label_class == WRONG_TEXT for _, truth in self.judged)

    @property
    def unknown_passed(self) -> int:
        return sum(row.passed for row, truth in self.judged if truth.label_class == UNKNOWN)

    @property
    def unknown(self) -> int:
        return sum(truth.label_class == UNKNOWN for _, truth in self.judged)

    @property
    def good_rejected(self) -> int:
        return sum(not row.passed for row, truth in self.judged if truth.label_class == self.pass_class)

    @property
    def good(self) -> int:
        return sum(truth.label_class == self.pass_class for _, truth in self.judged)

    @property
    def missed(self) -> int:
        return sum(row.verdict == Missed.word for row, _ in self.judged)

    @property
    def _apart(self) -> tuple[str, ...]:
        """Classes that do not count as faulty prints."""
        return self.pass_class, WRONG_TEXT, UNKNOWN

    def table(self) -> dict[str, Counter[str]]:
        """True class or kind of unknown -> number of labels per verdict."""
        rows: dict[str, Counter[str]] = {}
        for row, truth in self.judged:
            rows.setdefault(truth.name, Counter())[row.label] += 1
        return dict(sorted(rows.items(), key=lambda item: (item[0].startswith(UNKNOWN), item[0])))

    def percentiles_ms(self) -> dict[str, dict[str, float]]:
        """p50, p99 and maximum of the time from trigger to verdict, and of the pulse lateness."""
        times = {
            "trigger to verdict": [row.verdict_us for row, _ in self.judged],
            "pulse lateness": [
                row.lateness_us
                for row, _ in self.judged
                if row.lateness_us is not None and row.gate_outcome == "rejected"
            ],
        }
        return {
            name: dict(
                zip(("p50", "p99", "max"), (float(v) / 1000 for v in np.percentile(us, (50, 99, 100))), strict=True)
            )
            for name, us in times.items()
            if us
        }

    def as_dict(self) -> dict[str, object]:
        return {
            "parts": len(self.judged),
            "faulty": self.faulty,
            "faulty_passed": self.faulty_passed,
            "wrong_text": self.wrong_text,
            "wrong_text_passed": self.wrong_text_passed,
            "unknown": self.unknown,
            "unknown_passed": self.unknown_passed,
            "good": self.good,
            "good_rejected": self.good_rejected,
            "missed": self.missed,
            "by_truth": {name: dict(counts) for name, counts in self.table().items()},
            "latency_ms": self.percentiles_ms(),
        }


def read_truth(folder: Path, classes: Sequence[str]) -> list[Truth]:
    """Rows of `truth.csv` by file name. A class must be one of `classes` or `unknown`. Raises ConfigError naming line and value."""
    path = folder / "truth.csv"
    try:
        rows = [_truth(row, f"{path}: line {row.line}", classes) for row in read_csv(path, ("file", "class"))]
    except ConfigError as error:
        raise ConfigError(
            f"{error}; the demo compares verdicts with this file; `python tools/synthesize.py render` makes images with one"
        ) from error
    names = Counter(row.file for row in rows)
    twice = [name for name, count in names.items() if count > 1]
    gone = [name for name in names if not os.path.isfile(folder / name)]  # noqa: PTH113 - no error, however odd the name
    if not rows:
        raise ConfigError(f"{path}: lists no image")
    if twice:
        raise ConfigError(f"{path}: lists images twice: {one_line(', '.join(twice[:3]))}")
    if gone:
        raise ConfigError(f"{path}: lists images that do not exist: {one_line(', '.join(gone[:3]))}")
    return sorted(rows, key=lambda row: row.file)


def _truth(row: CsvRow, where: str, classes: Sequence[str]) -> Truth:
    file, label_class = row["file"], row["class"]
    if Path(file).suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{where}: file: {shown(file)} must be a photo ({', '.join(sorted(SUFFIXES))})")
    if label_class not in (*classes, UNKNOWN):
        raise ConfigError(f"{where}: class: {shown(label_class)} must be one of {', '.join((*classes, UNKNOWN))}")
    fault = " ".join(row.cells[column] for column in ("fault", "size", "unit") if row.cells.get(column))
    return Truth(file, label_class, row.cells.get("kind", ""), fault, _expected(row, where))


def _expected(row: CsvRow, where: str) -> dict[str, str]:
    text = row.cells.get("expected", "")
    try:
        values = parse_json(text) if text else {}
    except ValueError as error:
        raise ConfigError(f"{where}: expected: is not valid JSON: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ConfigError(f"{where}: expected: {shown(values)} must be a JSON object of texts")
    return values


def read_rows(journal: Path) -> list[Row]:
    """All parts of a journal, oldest first. Raises JournalError if it is not a journal, sqlite3.Error if it can't be read now."""
    with closing(open_for_reading(journal)) as connection:
        texts: dict[int, WrongText] = {}
        for text in connection.execute(_WRONG_TEXTS):
            texts.setdefault(text["part"], _text(text))
        return [_row(row, texts.get(row["id"])) for row in connection.execute("SELECT * FROM parts ORDER BY id")]


def compare(rows: list[Row], truth: list[Truth], pass_class: str) -> Comparison:
    """Pair frame n of the camera with image n of `truth`. Frames after the last image do not count: the camera started again.

    Raises LineFault if an image of `truth` has no part.
    """
    shown = {row.frame_number for row in rows}
    unseen = [entry.file for number, entry in enumerate(truth) if number not in shown]
    if unseen:
        raise LineFault(f"{len(unseen)} of {len(truth)} images have no part in the journal, for example {unseen[0]}")
    return Comparison([(row, truth[row.frame_number]) for row in rows if row.frame_number < len(truth)], pass_class)


def _text(row: sqlite3.Row) -> WrongText:
    box = (row["box_left"], row["box_top"], row["box_width"], row["box_height"])
    return WrongText(row["field"], tuple(json.loads(row["expected"])), row["found"], box)


def _row(row: sqlite3.Row, text: WrongText | None) -> Row:
    return Row(
        part=row["id"],
        frame_number=row["frame_number"],
        verdict=row["verdict"],
        reason=row["reason"],
        predicted=row["class"],
        certainty=row["certainty"],
        scores=tuple(json.loads(row["scores"])) if row["scores"] else (),
        gate_outcome=row["gate_outcome"],
        verdict_us=row["verdict_us"],
        lateness_us=row["gate_lateness_us"],
        image=row["image"],
        anomaly=_anomaly(row),
        text=text,
    )


def _anomaly(row: sqlite3.Row) -> Anomaly | None:
    if row["anomaly_kind"] is None:
        return None
    box = (row["anomaly_left"], row["anomaly_top"], row["anomaly_width"], row["anomaly_height"])
    return Anomaly(row["anomaly_kind"], box, row["anomaly_excess"])
