"""The results of an experiment so far: its runs, those that failed, and their figures."""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from inspectd_tools.experiments.aggregate import Over, over
from inspectd_tools.experiments.claims import Value
from inspectd_tools.experiments.config import Experiment
from inspectd_tools.experiments.paths import OUTCOME, TRAINED
from inspectd_tools.experiments.plan import Changed, Run
from inspectd_tools.experiments.records import Outcome, Row, read_outcome, rows_of
from inspectd_tools.experiments.scale import Scale


@dataclass(frozen=True)
class Results:
    name: str
    experiment: Experiment
    scale: Scale
    changes: list[Changed]
    photos: str
    """Which photos were used as real and as synthetic ones."""
    planned: int
    done: list[tuple[Run, Outcome]]
    failed: dict[Path, str]
    """Folder of a run -> the last line of its log."""
    rows: list[Row]
    similarity: dict[str, Any] | None
    runs_folder: Path

    @cached_property
    def variants(self) -> dict[str, list[Run]]:
        """Name -> its runs that are done."""
        found: dict[str, list[Run]] = defaultdict(list)
        for run, _ in self.done:
            found[run.variant].append(run)
        return dict(found)

    @cached_property
    def final(self) -> dict[str, dict[str, list[Value]]]:
        """Phase and metric, as `validation accuracy` -> variant -> the value of each run's final weights."""
        run_of = {(run.variant, run.seed): run for run, _ in self.done}
        found: dict[str, dict[str, list[Value]]] = {}
        for row in self.rows:
            if row.epoch is None:
                of_metric = found.setdefault(f"{row.phase} {row.metric}", {})
                of_metric.setdefault(row.variant, []).append(Value(run_of[row.variant, row.seed], row.value))
        return found

    def over_runs(self, metric: str, variant: str) -> Over | None:
        """None if no run has the metric."""
        values = self.final.get(metric, {}).get(variant, [])
        return over([value.value for value in values]) if values else None

    @property
    def label(self) -> str:
        """The title of every figure."""
        counts = {len(runs) for runs in self.variants.values()}
        runs = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        return f"{self.name}: scale {self.scale}, {runs} run(s) per variant (in the experiment: {self.experiment.runs})"


def gather(
    name: str,
    experiment: Experiment,
    scale: Scale,
    changes: list[Changed],
    photos: str,
    runs: list[Run],
    folder: Path,
    failed: dict[Path, str],
) -> Results:
    """Read the results of all `runs` that are done, in the `folder` of the experiment. Raises ConfigError."""
    outcomes = folder / "runs"
    done = [(run, read_outcome(path)) for run in runs if (path := outcomes / run.place / OUTCOME).exists()]
    rows = [row for run, outcome in done for row in rows_of(name, run, outcomes / run.place / TRAINED, outcome)]
    found = folder / "data" / "similarity.json"
    return Results(
        name=name,
        experiment=experiment,
        scale=scale,
        changes=changes,
        photos=photos,
        planned=len(runs),
        done=done,
        failed=failed,
        rows=rows,
        similarity=json.loads(found.read_text(encoding="utf-8")) if found.exists() else None,
        runs_folder=outcomes,
    )
