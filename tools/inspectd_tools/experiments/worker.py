"""One run, in a process of its own: `python -m inspectd_tools.experiments.worker RUN.json`. Train, measure, write the outcome.

Cut anywhere and started again, it goes on where the training was.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from inspectd.errors import InspectdError
from inspectd_tools.changes import as_changes, as_options
from inspectd_tools.experiments.config import Foreign
from inspectd_tools.experiments.machine import machine
from inspectd_tools.experiments.measures import measure
from inspectd_tools.experiments.paths import OUTCOME, TRAINED
from inspectd_tools.experiments.plan import Work
from inspectd_tools.experiments.records import Outcome, figures_of
from inspectd_tools.training import cli as train


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="as tools/experiments.py has written it")
    path: Path = parser.parse_args(arguments).work
    return do(Work.model_validate_json(path.read_bytes()), path.parent)


def do(work: Work, folder: Path) -> int:
    """Leaves `outcome.json` in the folder, or returns the exit code of what failed."""
    begin_s, trained = time.monotonic(), folder / TRAINED
    run = work.run
    results = _results(trained)
    if results is None:
        if not (trained / "last.pt").exists():
            shutil.rmtree(trained, ignore_errors=True)  # cut before the end of its first epoch: nothing to resume
        code = train.main(training_arguments(work, trained))
        if code:
            return code
        results = json.loads((trained / "results.json").read_text(encoding="utf-8"))
    figures = list(figures_of(results))
    refused: dict[str, str] = {}
    for asked in run.measures:
        try:
            foreign = work.foreign[asked.data] if isinstance(asked, Foreign) else None
            figures += measure(asked, trained, work.manifest, foreign)
        except InspectdError as error:
            print(f"experiments: {asked.kind}: {error}", file=sys.stderr)
            refused[asked.kind] = str(error)
    seconds = time.monotonic() - begin_s
    Outcome(seconds, machine(), refused, results["failures"], figures).write(folder / OUTCOME)
    return 0


def training_arguments(work: Work, trained: Path) -> list[str]:
    """For tools/train.py; a run that is there is resumed."""
    run = work.run
    arguments = [run.base, "--data", str(work.manifest), "--run", str(trained), "--resume"]
    if run.weights is not None:
        arguments += ["--weights", str(run.weights)]
    return arguments + as_options(as_changes(run.changes))


def _results(trained: Path) -> dict[str, Any] | None:
    """None where there are none, or the process was killed while it wrote them."""
    try:
        found: dict[str, Any] = json.loads((trained / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


if __name__ == "__main__":
    sys.exit(main())
