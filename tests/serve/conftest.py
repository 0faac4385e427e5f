"""A line's journal, open for writing, and the facts that bridges have about the line."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inspectd.gate.outcome import Outcome
from inspectd.part import Anomaly, Fault, Missed, MissedReason, Part, Pass, Scores, Uncertain, Verdict
from inspectd.records.journal import Journal, JournalConfig, Stages
from inspectd.serve.line_facts import LineFacts

CLASSES = ("no_fail", "fail_smudge")
GOOD, BAD = Scores(CLASSES, (0.97, 0.01)), Scores(CLASSES, (0.02, 0.93))
VERDICTS: tuple[Verdict, ...] = (
    Pass(GOOD),
    Fault(BAD),
    Uncertain(GOOD, Anomaly("print", (30, 8, 12, 9), 1.7)),
    Missed(MissedReason.OVERRUN),
)
STAGES = Stages(acquire_us=3000, queue_us=100, verdict_us=20_000, preprocess_us=900, infer_us=9000, guard_us=400)


@dataclass
class Line:
    """`journal`: open for writing, as a line has it."""

    folder: Path
    journal: Journal

    @property
    def facts(self) -> LineFacts:
        return LineFacts(
            file=self.folder / "line.yaml",
            name="printer-3",
            journal=self.folder / "journal.sqlite",
            archive=None,
            control=self.folder / "control.sock",
            engine=self.folder / "engine",
            config={},
            schema={},
        )

    def inspect(
        self,
        verdict: Verdict,
        outcome: Outcome | None = Outcome.REJECTED,
        lateness_us: int = 300,
        quality: tuple[float | None, float | None] | None = None,
    ) -> int:
        """One part, whose verdict takes 20 ms. `outcome`: what the gate did; None: it has not acted yet."""
        number = self.journal.next_part_id
        self.journal.next_part_id += 1
        now_ns = time.monotonic_ns()
        part = Part(number, number, now_ns - 20_000_000, time.time_ns(), now_ns + 100_000_000)
        self.journal.append(part, verdict, STAGES, (), quality)
        if outcome is not None:
            self.journal.amend_outcome(number, outcome, lateness_us)
        self.journal.flush()
        return number

    def restart(self) -> None:
        """The line ends and starts again."""
        self.journal.close()
        self.open()

    def open(self) -> None:
        self.journal = Journal.open(JournalConfig(path=self.folder / "journal.sqlite"))
        self.journal.use_engine("toy", "ab" * 32)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path, Journal.open(JournalConfig(path=tmp_path / "journal.sqlite")))
    line.journal.use_engine("toy", "ab" * 32)
    yield line
    line.journal.close()
