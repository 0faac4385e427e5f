"""The result of the checks: a table with one row per method, remarks against trusting it, and files."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from inspectd.binomial import interval
from inspectd.inference.preprocess import InputSpec
from inspectd.terminal import console
from inspectd_tools.explain.check import CONTROLS, Checked, Measured, SanityStep
from inspectd_tools.explain.methods import is_whole
from inspectd_tools.explain.pictures import write_sheet
from inspectd_tools.explain.sanity import MOST_ALIKE, SAME_CLASS

_MOSTLY = 0.5
_SHEET = 30
Wrong = dict[str, tuple[list[Measured], int]]
"""Method -> suspect photos, and how many right and certain photos there were."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method; means over the photos, NaN if nothing was measured."""

    method: str
    seconds: float
    fault_share: float
    fault_area: float
    pointing_hits: int
    pointing_n: int
    label_share: float
    deletion_auc: float
    insertion_auc: float
    unexplained: float
    sensitivity: float
    largest_gap: float
    random_rank_correlation: float
    """With all weights random; `random_ssim` too."""
    random_ssim: float
    remarks: str


def rows(checked: Checked) -> list[Row]:
    by_method = {name: [row for row in checked.measured if row.method == name] for name in checked.explanations}
    chance = _mean(by_method["(chance)"], "insertion_auc") - _mean(by_method["(chance)"], "deletion_auc")
    return [_row(name, measured, checked, chance) for name, measured in by_method.items()]


def wrong_reason(checked: Checked, certain: float) -> Wrong:
    """Find the photos that are right and certain although most of the map is outside the label.

    Where the label is not known, outside the fault. `certain`: from which certainty a photo counts as certain.
    """
    found: Wrong = {}
    for name in checked.explanations:
        if name in CONTROLS:
            continue
        looked = [
            row
            for row in checked.measured
            if row.method == name
            and row.predicted == row.truth
            and row.certainty >= certain
            and np.isfinite(_share(row))
        ]
        suspects = sorted((row for row in looked if _share(row) < _MOSTLY), key=_share)
        found[name] = suspects, len(looked)
    return found


def table(title: str, found: Sequence[Row]) -> Table:
    """For the terminal, at most 80 columns wide; the remarks are printed on lines below it."""
    page = Table("method", title=title, box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for column in (
        *("in\nfault\n(area)", "points at\nfault", "in\nlabel", "dele-\ntion\nAUC ↓"),
        *("inser-\ntion\nAUC ↑", "unex-\nplain-\ned ↓", "sensi-\ntivity\n↓", "random\nnet: rank,\nSSIM ↓"),
    ):
        page.add_column(column, justify="right", no_wrap=True)
    for row in found:
        low, high = interval(row.pointing_hits, row.pointing_n)
        hits = f"{row.pointing_hits}/{row.pointing_n}\n{low:.2f}-{high:.2f}" if row.pointing_n else "-"
        figures = (row.label_share, row.deletion_auc, row.insertion_auc, row.unexplained, row.sensitivity)
        page.add_row(
            row.method.replace("_", "_\n", 1),
            f"{_text(row.fault_share)}\n({_text(row.fault_area)})",
            hits,
            *(_text(value) for value in figures),
            f"{_text(row.random_rank_correlation)}, {_text(row.random_ssim)}",
        )
    return page


def print_report(title: str, checked: Checked, found: Sequence[Row], wrong: Wrong, certain: float) -> None:
    """The table, and below it the remarks, the methods that do not apply and the suspect photos."""
    console().print(table(title, found))
    for row in found:
        if row.method not in CONTROLS:
            print(f"{row.method}, {row.seconds:.2f} s per photo: {row.remarks or 'no check contradicts it'}")
    for name, reason in checked.refused.items():
        print(f"{name} does not apply: {reason}")
    for name, (suspects, looked) in wrong.items():
        print(
            f"{name}: of {looked} right and certain (>= {certain:.2f}) photos, the map of {len(suspects)} is mostly outside "
            "the label or fault"
        )


def write_report(folder: Path, checked: Checked, found: Sequence[Row], wrong: Wrong, spec: InputSpec) -> None:
    """Make `folder` and write all tables and the sheets of suspect photos. Raises OSError."""
    folder.mkdir(parents=True)
    write_rows(folder / "check.csv", found, Row)
    write_rows(folder / "photos.csv", checked.measured, Measured)
    write_rows(folder / "sanity.csv", checked.sanity, SanityStep)
    write_rows(folder / "wrong_reason.csv", [row for suspects, _ in wrong.values() for row in suspects], Measured)
    for name, (suspects, _) in wrong.items():
        by_path = {explanation.seen.subject.path: explanation for explanation in checked.explanations[name]}
        shown = [by_path[row.path] for row in suspects[:_SHEET]]
        if shown:
            write_sheet(folder / f"wrong_reason_{name}.png", shown, spec)


def write_rows(path: Path, records: Sequence[object], kind: type) -> None:
    """Write dataclass instances of one `kind` as CSV. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)  # type: ignore[call-overload]


def _row(name: str, measured: list[Measured], checked: Checked, chance: float) -> Row:
    pointed = [row.points_at_fault for row in measured if np.isfinite(row.points_at_fault)]
    cascade = [step for step in checked.sanity if step.method == name]
    wholly_random = cascade[-1]
    gaps = [row.gap for row in measured if np.isfinite(row.gap)]
    blank = sum(explanation.is_blank for explanation in checked.explanations[name])
    remarks = []
    if wholly_random.rank_correlation > MOST_ALIKE:
        remarks.append("ignores the weights")
    elif cascade[0].rank_correlation > SAME_CLASS:
        remarks.append("shows the same for every class")
    if not all(is_whole(gap) for gap in gaps):
        remarks.append(f"{sum(not is_whole(gap) for gap in gaps)} do not add up")
    if blank:
        remarks.append(f"{blank} blank")
    if _mean(measured, "fault_share") <= _mean(measured, "fault_area"):
        remarks.append("no more inside the fault than by chance")
    if name != "(chance)" and _mean(measured, "insertion_auc") - _mean(measured, "deletion_auc") <= chance:
        remarks.append("changes the score no more than chance")
    return Row(
        method=name,
        seconds=_mean(measured, "seconds"),
        fault_share=_mean(measured, "fault_share"),
        fault_area=_mean(measured, "fault_area"),
        pointing_hits=int(sum(pointed)),
        pointing_n=len(pointed),
        label_share=_mean(measured, "label_share"),
        deletion_auc=_mean(measured, "deletion_auc"),
        insertion_auc=_mean(measured, "insertion_auc"),
        unexplained=_mean(measured, "unexplained"),
        sensitivity=_mean(measured, "sensitivity"),
        largest_gap=max(gaps, default=float("nan")),
        random_rank_correlation=wholly_random.rank_correlation,
        random_ssim=wholly_random.ssim,
        remarks=", ".join(remarks),
    )


def _share(row: Measured) -> float:
    return row.label_share if np.isfinite(row.label_share) else row.fault_share


def _mean(measured: Sequence[Measured], field: str) -> float:
    values = [value for row in measured if np.isfinite(value := getattr(row, field))]
    return float(np.mean(values)) if values else float("nan")


def _text(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"
