"""What is counted: once per part, over restarts of exporter and line, and while rows are deleted."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspectd.gate.outcome import Outcome
from inspectd.part import Fault, Missed, MissedReason, Pass
from inspectd.records.journal import Journal, JournalConfig
from inspectd.serve.following import Follower
from inspectd.serve.metrics.counts import Counts, read_counts
from tests.serve.conftest import BAD, GOOD, VERDICTS, Line


class Exporter:
    """What `inspectd serve metrics` does in each turn, without its threads."""

    def __init__(self, line: Line) -> None:
        self.kept = line.folder / "counts.json"
        self.path = line.folder / "journal.sqlite"
        self.start()
        self.counts.write(self.kept)

    def start(self) -> None:
        self.counts = read_counts(self.kept)
        self.follower = Follower(self.path, self.counts.place)
        self.look()

    def look(self, at_once: int = 500) -> Counts:
        has_more = True
        while has_more:
            news = self.follower.news(at_once)
            has_more = news.has_more
            if news.gap is not None:
                self.counts.skip(news.gap)
            for change in news.changes:
                self.counts.take(change)
            self.counts.place = self.follower.place
        return self.counts

    def restart(self, *, cleanly: bool) -> None:
        if cleanly:
            self.counts.write(self.kept)
        self.follower.close()
        self.start()


def counted(counts: Counts) -> Counter[tuple[str, str]]:
    return Counter({(verdict, cause): n for verdict, causes in counts.parts.items() for cause, n in causes.items()})


def delete_oldest(line: Line, parts: int) -> None:
    """As retention does."""
    with closing(sqlite3.connect(line.folder / "journal.sqlite")) as connection, connection:
        connection.execute("DELETE FROM parts WHERE id IN (SELECT id FROM parts ORDER BY id LIMIT ?)", (parts,))


def test_a_part_is_counted_when_the_gate_has_acted_on_it(line: Line) -> None:
    exporter = Exporter(line)
    let_through = line.inspect(Pass(GOOD), None)
    too_late = line.inspect(Pass(GOOD), None)
    line.inspect(Fault(BAD))
    assert counted(exporter.look()) == {("fault", "fail_smudge"): 1}
    line.journal.amend_outcome(let_through, Outcome.PASSED, 120)
    line.journal.amend_outcome(too_late, Outcome.REJECTED_LATE, 80_000)
    line.journal.flush()
    counts = exporter.look()
    assert counted(counts) == {("pass", ""): 1, ("missed", "late"): 1, ("fault", "fail_smudge"): 1}
    assert counts.gate == {"passed": 1, "rejected_late": 1, "rejected": 1}
    assert counts.verdict_s.sum == pytest.approx(3 * 0.02)
    assert sum(counts.lateness_s.counts) == 3
    assert counts.lateness_s.counts[-2] == 1, "one was 80 ms late"
    line.journal.amend_image(too_late, "image.png")
    line.journal.flush()
    assert counted(exporter.look()).total() == 3


def test_brightness_and_sharpness_are_added_up_once_per_image(line: Line) -> None:
    exporter = Exporter(line)
    waiting = line.inspect(Pass(GOOD), None, quality=(0.5, 1.5))
    line.inspect(Fault(BAD), quality=(0.25, None))
    line.inspect(Missed(MissedReason.LOST_FRAME))
    line.inspect(Fault(BAD), quality=(float("inf"), 2.0))  # not a number that a line writes
    exporter.look()
    line.journal.amend_outcome(waiting, Outcome.PASSED, 120)
    line.journal.flush()
    exporter.look()
    exporter.restart(cleanly=True)
    counts = exporter.look()
    assert (counts.brightness.count, counts.brightness.sum) == (2, 0.75)
    assert (counts.sharpness.count, counts.sharpness.sum) == (2, 3.5)


def test_a_part_that_is_recorded_after_later_ones_is_counted(line: Line) -> None:
    exporter = Exporter(line)
    for number in (1, 3, 2):
        line.journal.next_part_id = number
        line.inspect(Fault(BAD))
        exporter.look()
    line.journal.amend_image(2, "image.png")
    line.journal.flush()
    assert counted(exporter.look()).total() == 3


def test_parts_that_the_gate_never_acted_on_are_counted_when_the_line_starts_again(line: Line) -> None:
    exporter = Exporter(line)
    line.inspect(Pass(GOOD), None)
    assert counted(exporter.look()).total() == 0
    line.restart()
    counts = exporter.look()
    assert counted(counts).total() == 1
    assert counts.starts == 1


def test_stops_and_outages_are_counted_once(line: Line) -> None:
    exporter = Exporter(line)
    line.journal.stop_begin("too_many_rejects")
    line.journal.flush()
    assert exporter.look().stops == {"too_many_rejects": 1}
    line.journal.outage_begin("camera", "the camera is gone")
    line.journal.flush()
    line.restart()
    exporter.restart(cleanly=False)
    counts = exporter.look()
    assert counts.stops == {"too_many_rejects": 1}
    assert counts.outages == {"camera": 1}


def test_another_journal_is_counted_from_its_begin(line: Line) -> None:
    exporter = Exporter(line)
    for _ in range(3):
        line.inspect(Fault(BAD))
    assert counted(exporter.look()).total() == 3
    line.journal.close()
    for file in line.folder.glob("journal.sqlite*"):
        file.unlink()
    line.open()
    for _ in range(2):
        line.inspect(Fault(BAD))
    exporter.restart(cleanly=True)
    assert counted(exporter.look()).total() == 5


def test_what_was_deleted_before_it_was_counted_is_said(line: Line) -> None:
    exporter = Exporter(line)
    line.inspect(Fault(BAD))
    exporter.look()
    exporter.counts.write(exporter.kept)
    for _ in range(10):
        line.inspect(Fault(BAD))
    delete_oldest(line, 6)
    exporter.restart(cleanly=False)
    counts = exporter.counts
    assert counted(counts).total() == 1 + 5
    assert counts.skipped >= 5
    skipped = counts.skipped
    delete_oldest(line, 2)
    assert exporter.look().skipped == skipped, "these were counted before"


def test_a_file_that_cannot_be_used_begins_at_0(line: Line) -> None:
    exporter = Exporter(line)
    line.inspect(Fault(BAD))
    exporter.look()
    exporter.kept.write_text('{"version": 1, "parts": "nonsense"}')
    exporter.restart(cleanly=False)
    assert counted(exporter.counts).total() == 0


STEPS = st.lists(
    st.sampled_from(["part", "part", "part", "act", "look", "keep", "exporter ends", "exporter is killed", "line restarts", "delete"]),
    max_size=40,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_counts_are_those_of_the_parts_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("line")
    line = Line(folder, Journal.open(JournalConfig(path=folder / "journal.sqlite")))
    line.journal.use_engine("toy", "ab" * 32)
    exporter, waiting, parts = Exporter(line), [line.inspect(VERDICTS[0], None)], 1
    exporter.look()  # parts before the first one that it sees do not count
    exporter.counts.write(exporter.kept)
    for step in steps:
        before = counted(exporter.counts)
        match step:
            case "part":
                verdict = VERDICTS[parts % len(VERDICTS)]
                waiting.append(line.inspect(verdict, None))
                parts += 1
            case "act" if waiting:
                line.journal.amend_outcome(waiting.pop(), Outcome.REJECTED, 10)
                line.journal.flush()
            case "look":
                exporter.look(at_once=3)
            case "keep":
                exporter.counts.write(exporter.kept)
            case "exporter ends" | "exporter is killed":
                exporter.restart(cleanly=step == "exporter ends")
            case "line restarts":
                line.restart()
                waiting.clear()
            case "delete":
                exporter.look()
                exporter.restart(cleanly=True)  # all is counted, as far as it can be, and kept
                delete_oldest(line, 1 if not waiting else 0)
        assert counted(exporter.counts) >= before, step
    line.restart()
    counts = exporter.look()
    line.journal.close()
    exporter.follower.close()
    assert counted(counts).total() == parts
    for at, verdict in enumerate(VERDICTS):
        expected = len(range(at, parts, len(VERDICTS)))
        of_word = sum(n for (word, _), n in counted(counts).items() if word == verdict.word)
        if not isinstance(verdict, Pass | Missed):  # a pass that was not let through is missed
            assert of_word == expected


def test_the_kept_file_stays_small(line: Line) -> None:
    exporter = Exporter(line)
    for _ in range(50):
        line.inspect(Missed(MissedReason.LOST_FRAME), None)
    exporter.look()
    exporter.counts.write(exporter.kept)
    assert Path(exporter.kept).stat().st_size < 10_000
