"""What the demo shows in the terminal: the running line, and the result against the truth."""

from collections import Counter

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from inspectd.binomial import upper_bound
from inspectd.commands.demo.ground_truth import Comparison, Row
from inspectd.part import ANOMALY, TEXT_REASONS, MissedReason, Pass, Uncertain
from inspectd.terminal import folding_table, printable

_LAST_REJECTS = 8


def live_view(rows: list[Row], parts: int) -> Group:
    """Progress, counts by verdict, and the last rejects."""
    counts = Counter("passed" if row.verdict == Pass.word else row.label for row in rows)
    table = folding_table(
        "verdict", "parts", title=f"{min(len(rows), parts)} of {parts} labels inspected", min_width=46
    )
    for name, count in counts.most_common():
        table.add_row(Text(printable(name), style="green" if name == "passed" else "red"), str(count))
    rejects = [row for row in rows if row.verdict != Pass.word][-_LAST_REJECTS:]
    last = folding_table("part", "rejected as", "certainty", "trigger to verdict", min_width=46)
    for row in reversed(rejects):
        certainty = "-" if row.certainty is None else f"{row.certainty:.2f}"
        last.add_row(str(row.part), printable(row.said), certainty, f"{row.verdict_us / 1000:.1f} ms")
    bar = ProgressBar(total=parts, completed=min(len(rows), parts), width=46)
    return Group(bar, Text(), table, last)  # a bar does not end its line


def result_tables(comparison: Comparison) -> list[Table]:
    """The end of a demo: verdicts by truth, error rates, and times."""
    return [_truth_table(comparison), _rates(comparison), _times(comparison)]


def _truth_table(comparison: Comparison) -> Table:
    by_truth = comparison.table()
    has_anomalies = any(counts[ANOMALY] for counts in by_truth.values())
    has_texts = any(counts[reason] for counts in by_truth.values() for reason in TEXT_REASONS)
    more = [*([ANOMALY] if has_anomalies else []), *(["text"] if has_texts else [])]
    verdicts = ("passed", "its\nclass", "other\nfault", "un-\ncertain", *more, "missed")
    # narrow: class names of 28 characters fit on one line of a terminal with 80 columns
    headers = ("what it was", "parts", *verdicts)
    table = folding_table(*headers, title="verdicts by what each label was", box=box.SIMPLE_HEAD, padding=0)
    for name, counts in by_truth.items():
        passed, its_class = counts[Pass.word], counts[name]
        text = sum(counts[reason] for reason in TEXT_REASONS)
        missed = sum(counts[reason] for reason in MissedReason)
        other_fault = counts.total() - passed - its_class - counts[Uncertain.word] - counts[ANOMALY] - text - missed
        stopped = [*([counts[ANOMALY]] if has_anomalies else []), *([text] if has_texts else [])]
        cells = (passed, its_class, other_fault, counts[Uncertain.word], *stopped, missed)
        table.add_row(name, str(counts.total()), *(str(cell or "") for cell in cells))
    return table


def _rates(comparison: Comparison) -> Table:
    table = folding_table("", "labels", "of", "share", "at most\n(one-sided 95 %)")
    wrong_text = ("wrong texts passed", comparison.wrong_text_passed, comparison.wrong_text)
    for name, errors, n in (
        ("false accepts: faulty labels passed", comparison.faulty_passed, comparison.faulty),
        *([wrong_text] if comparison.wrong_text else []),
        ("unknown labels passed", comparison.unknown_passed, comparison.unknown),
        ("false rejects: good labels rejected", comparison.good_rejected, comparison.good),
        ("missed: no inspection, rejected", comparison.missed, len(comparison.judged)),
    ):
        share = f"{errors / n:.2%}" if n else "-"
        table.add_row(name, str(errors), str(n), share, f"{upper_bound(errors, n):.2%}")
    return table


def _times(comparison: Comparison) -> Table:
    table = folding_table("ms", "p50", "p99", "max")
    for name, figures in comparison.percentiles_ms().items():
        table.add_row(name, *(f"{figures[key]:.2f}" for key in ("p50", "p99", "max")))
    return table
