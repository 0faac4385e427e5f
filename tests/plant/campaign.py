"""The campaign: many faults on running lines of every allowed kind, judged only by the plant's coils.

A round is one fault. A line goes through several rounds and is started again if it ends. Then all its labels are judged.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from rich.table import Table

from inspectd_tools.plc.modbus_plc import ModbusPlc
from tests.plant.faults import DRIVEN_BY_OTHERS, FAULTS, Loss, Setting
from tests.plant.line import Labels, Line, Refused, StandsStill
from tests.plant.record import Record
from tests.plant.truth import Judge, Judged, Rejector

ROUNDS_OF_A_LINE = 10
_CLOSE_BEFORE_MS = 5.0
"""Default of gate.close_before_ms."""
_OTHERS_MS = 250.0
"""How much later than stated things may happen because of other work on this machine."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One line."""

    rate_hz: float
    stall_ms: float
    watchdog_ms: int
    rejector: Rejector

    @property
    def must_be_refused(self) -> bool:
        """A pulse that would still be on when the label behind arrives."""
        pitch_ms, rejector = 1000 / self.rate_hz, self.rejector
        if rejector.wiring == "pulse_to_reject":
            return rejector.width_ms >= pitch_ms
        return rejector.width_ms + _CLOSE_BEFORE_MS > pitch_ms

    def gate(self) -> dict[str, Any]:
        return {
            "wiring": self.rejector.wiring,
            "delay_ms": self.rejector.delay_ms,
            "width_ms": self.rejector.width_ms,
            "max_lateness_ms": self.rejector.max_lateness_ms,
            "stall_ms": self.stall_ms,
        }


def settings_from(random: Random, *, hardest_rate_hz: float = 100) -> Settings:
    """A line that is told of a dead one before labels that nobody announced arrive: stall_ms + 100 < delay_ms."""
    rate_hz = round(random.uniform(20, hardest_rate_hz), 1)
    pitch_ms = 1000 / rate_hz
    stall_ms = random.choice([100.0, 150.0, 250.0])
    pitches = random.choice([random.uniform(0.2, 0.9), random.uniform(0.2, 0.9), random.uniform(0.2, 3)])
    width_ms = round(pitches * pitch_ms, 2)
    rejector = Rejector(
        wiring=random.choice(["pulse_to_reject", "pulse_to_release"]),
        delay_ms=stall_ms + 100 + round(random.uniform(20, 200)),
        width_ms=width_ms,
        max_lateness_ms=max(width_ms, round(0.5 * pitch_ms, 2)),
    )
    return Settings(rate_hz, stall_ms, random.choice([0, 0, 200, 400]), rejector)


@dataclass
class Tally:
    """The rounds of one kind of fault."""

    rounds: int = 0
    labels: int = 0
    must_not_pass: int = 0
    rejected: int = 0
    sought: int = 0
    good_lost: int = 0
    worst_permit_ms: float = 0
    violations: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    too_slow: list[str] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        label = judged.label
        self.labels += 1
        self.must_not_pass += not label.may_pass
        self.rejected += judged.taken and not label.may_pass
        self.sought += label.is_sought
        self.good_lost += label.is_good and not judged.passed


@dataclass(frozen=True, slots=True)
class Round:
    number: int
    fault: str
    t_from_ns: int
    losses: list[Loss]


class Campaign:
    """`run` once, then look at `tallies`."""

    def __init__(self, folder: Path, seed: int, *, realtime: bool = False) -> None:
        self.tallies: dict[str, Tally] = {}
        self.refused: list[str] = []
        self.wrongly_accepted: list[str] = []
        self.stuck: list[str] = []
        self._folder = folder.resolve()
        self._seed = seed
        self._realtime = realtime
        self._labels = Labels(self._folder, seed)
        self._number = 0

    @property
    def failures(self) -> list[str]:
        """Everything that must not happen, with its evidence."""
        kinds = self.tallies.values()
        found = [text for tally in kinds for text in (*tally.violations, *tally.untrue, *tally.too_slow)]
        return found + self.wrongly_accepted + self.stuck

    def run(self, rounds: int, faults: Sequence[str] = tuple(FAULTS)) -> None:
        random = Random(self._seed)
        wanted = self._shuffled(random, faults)
        while self._number < rounds:
            count = min(ROUNDS_OF_A_LINE, rounds - self._number)
            self.run_line(settings_from(random), [next(wanted) for _ in range(count)])

    def _shuffled(self, random: Random, faults: Sequence[str]) -> Iterator[str]:
        while True:
            yield from random.sample(faults, len(faults))

    def run_line(self, settings: Settings, faults: Sequence[str]) -> None:
        """One line through some faults, each a round; a config that must be refused is a check of its own."""
        folder = self._folder / f"line-{self._number}-{len(self.refused)}"
        folder.mkdir()
        with ModbusPlc(folder / "plant.jsonl", watchdog_ms=settings.watchdog_ms, realtime=self._realtime) as plc:
            line = Line(folder, self._labels, plc, rate_hz=settings.rate_hz, gate=settings.gate())
            try:
                self._run_line(settings, line, faults)
            except Refused as refused:
                self._check_refusal(settings, str(refused))
            except StandsStill as still:
                self.stuck.append(f"{settings}: {still}")
            finally:
                line.close()

    def _check_refusal(self, settings: Settings, said: str) -> None:
        if not settings.must_be_refused or "width_ms" not in said or "Traceback" in said:
            raise AssertionError(f"{settings}: refused wrongly or without a reason: {said}")
        self.refused.append(said)

    def _run_line(self, settings: Settings, line: Line, faults: Sequence[str]) -> None:
        line.settle()
        if settings.must_be_refused:
            self.wrongly_accepted.append(f"{settings}: accepted, must be refused")
        rounds = []
        try:
            for fault in faults:
                self._round(settings, line, fault, rounds)
        finally:
            line.stop()
            if rounds:
                self._judge(settings, line, rounds)

    def _judge(self, settings: Settings, line: Line, rounds: list[Round]) -> None:
        record = Record(line.plc.record)
        judge = Judge(record, settings.rejector)
        self._judge_labels(settings, line, judge, rounds)
        for each in rounds:
            self._judge_permit(judge, each)

    def _round(self, settings: Settings, line: Line, fault: str, rounds: list[Round]) -> None:
        random = Random(f"{self._seed}-{self._number}")
        self._number += 1
        time.sleep(random.uniform(0.1, 0.6))
        t_from_ns = time.monotonic_ns()
        losses = FAULTS[fault](Setting(line, random, settings.stall_ms, settings.watchdog_ms))
        rounds.append(Round(self._number, fault, t_from_ns, losses))
        line.settle()

    def _judge_labels(self, settings: Settings, line: Line, judge: Judge, rounds: list[Round]) -> None:
        for label in sorted(line.all_labels(judge.permit), key=lambda label: label.due_ns):
            due = [each for each in rounds if each.t_from_ns <= label.due_ns]
            blamed = due[-1] if due else rounds[0]
            tally = self._tally(blamed.fault)
            judged = judge.judge(label)
            tally.add(judged)
            since_ms = (label.due_ns - blamed.t_from_ns) / 1e6
            text = f"round {blamed.number} ({blamed.fault}), {since_ms:.0f} ms after its begin, {settings}:"
            if judged.is_violation:
                tally.violations.append(f"PASSED UNSOUGHT {text}\n    {judge.evidence(label)}")
            if judged.is_untrue and blamed.fault not in DRIVEN_BY_OTHERS:
                tally.untrue.append(f"REJECTED, RECORDED AS PASSED {text}\n    {judge.evidence(label)}")
        for each in rounds:
            self._tally(each.fault).rounds += 1

    def _judge_permit(self, judge: Judge, each: Round) -> None:
        tally = self._tally(each.fault)
        for loss in each.losses:
            off_ns = judge.permit.first_off(loss.t_ns) or judge.record.end_ns
            took_ms = (off_ns - loss.t_ns) / 1e6
            tally.worst_permit_ms = max(tally.worst_permit_ms, took_ms)
            if took_ms > loss.limit_ms + _OTHERS_MS + judge.record.blind_ns(loss.t_ns, off_ns) / 1e6:
                tally.too_slow.append(
                    f"round {each.number} ({each.fault}): run permit on for {took_ms:.0f} ms, stated {loss.limit_ms:.0f}"
                )

    def _tally(self, fault: str) -> Tally:
        return self.tallies.setdefault(fault, Tally())

    def table(self) -> Table:
        table = Table(
            "fault",
            "rounds",
            "labels",
            "must not pass",
            "rejected",
            "sought",
            "passed unsought",
            "recorded passed, rejected",
            "good lost",
            "permit off within, ms",
            title=f"{self._number} rounds, seed {self._seed}; {len(self.refused)} configs refused",
        )
        for fault, tally in self.tallies.items():
            table.add_row(
                fault,
                *map(
                    str,
                    (
                        tally.rounds,
                        tally.labels,
                        tally.must_not_pass,
                        tally.rejected,
                        tally.sought,
                        len(tally.violations),
                        len(tally.untrue),
                        tally.good_lost,
                    ),
                ),
                f"{tally.worst_permit_ms:.0f}" if tally.worst_permit_ms else "-",
            )
        return table
