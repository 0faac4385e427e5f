"""One run, in a process of its own: `python -m inspectd_tools.experiments.worker RUN.json`. Train, measure, write the outcome.

After an interruption it continues the training where it stopped.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.errors import InspectdError
from inspectd_tools.changes import as_changes, as_options
from inspectd_tools.cli import new_parser
from inspectd_tools.experiments.config import Unknown
from inspectd_tools.experiments.machine import machine
from inspectd_tools.experiments.measures import measure
from inspectd_tools.experiments.paths import OUTCOME, TRAINED
from inspectd_tools.experiments.plan import Work
from inspectd_tools.experiments.records import Outcome, figures_of
from inspectd_tools.experiments.sole import die_with_parent, sole
from inspectd_tools.training import cli as train


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    work: Path
    die_with_parent: bool


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__)
    program.add_argument("work", type=Path, help="run.json, written by tools/experiments.py")
    program.add_argument(
        "--die-with-parent",
        action="store_true",
        help="end with the process that started this one, so that no run goes on when its node is lost",
    )
    return program


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    if options.die_with_parent:
        die_with_parent()
    try:
        with sole(options.work.parent):
            if (options.work.parent / OUTCOME).exists():  # done by the process that was waited for
                return 0
            return do(Work.model_validate_json(options.work.read_bytes()), options.work.parent)
    except InspectdError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return error.exit_code


def do(work: Work, folder: Path) -> int:
    """Train, measure and write `outcome.json`. Returns 0, or the exit code of the training if it failed."""
    begin_s, trained = time.monotonic(), folder / TRAINED
    run = work.run
    results = _results(trained)
    if results is None:
        if not (trained / "last.pt").exists():
            shutil.rmtree(
                trained, ignore_errors=True
            )  # interrupted before the end of its first epoch: nothing to resume
        code = train.main(training_arguments(work, trained))
        if code:
            return code
        results = json.loads((trained / "results.json").read_text(encoding="utf-8"))
    figures = list(figures_of(results))
    refused: dict[str, str] = {}
    for asked in run.measures:
        try:
            unknown = work.data_sets[asked.data] if isinstance(asked, Unknown) else None
            figures += measure(asked, trained, work.manifest, unknown, work.device)
        except InspectdError as error:
            print(f"experiments: {asked.kind}: {error}", file=sys.stderr)
            refused[asked.kind] = str(error)
    seconds = time.monotonic() - begin_s
    Outcome(seconds, machine(), refused, results["failures"], figures).write(folder / OUTCOME)
    return 0


def training_arguments(work: Work, trained: Path) -> list[str]:
    """Arguments for tools/train.py; a run that exists is resumed."""
    run = work.run
    arguments = [run.base, "--data", str(work.manifest), "--run", str(trained), "--resume", "--device", work.device]
    if run.weights is not None:
        arguments += ["--weights", str(run.weights)]
    return arguments + as_options(as_changes(run.changes))


def _results(trained: Path) -> dict[str, Any] | None:
    """None if there are no results, or the process was killed while it wrote them."""
    try:
        found: dict[str, Any] = json.loads((trained / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


if __name__ == "__main__":
    sys.exit(main())
