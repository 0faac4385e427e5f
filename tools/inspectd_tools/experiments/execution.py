"""Execute the runs that are not done, with a progress bar."""

import fcntl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError
from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from inspectd.errors import ConfigError
from inspectd.terminal import console, text_column
from inspectd_tools.experiments.launch import Launch, last_words
from inspectd_tools.experiments.paths import OUTCOME, TRAINED, WORK
from inspectd_tools.experiments.plan import Run, Work


def is_done(place: Path, run: Run) -> bool:
    """Whether the folder holds this run and it has ended.

    Raises ConfigError if the folder holds another run: of another scale, of an experiment that has changed since, or of
    another version.
    """
    if not (place / WORK).exists():
        return False
    try:
        before = Work.model_validate_json((place / WORK).read_bytes()).run
    except ValidationError as error:
        raise ConfigError(f"{place / WORK}: was not written by this version; give a new --out") from error
    if before != run:
        changed = [name for name in Run.model_fields if getattr(before, name) != getattr(run, name)]
        raise ConfigError(
            f"{place}: is a run with another {', '.join(changed)}; give the same --scale and options, or a new --out"
        )
    return (place / OUTCOME).exists()


def execute(waiting: Mapping[Path, Run], launch: Launch) -> dict[Path, str]:
    """Execute all runs. Returns the folder of each run that failed, and why."""
    failed: dict[Path, str] = {}
    ended: list[Path] = []
    with _progress() as progress:
        task = progress.add_task("runs", total=sum(run.cost for run in waiting.values()), note=f"0 of {len(waiting)}")

        def show(running: Sequence[Path]) -> None:
            seen = sum(waiting[place].cost for place in ended) + sum(_share(p) * waiting[p].cost for p in running)
            progress.update(task, completed=seen, note=f"{len(ended)} of {len(waiting)}")

        for place, code in launch(list(waiting), show):
            ended.append(place)
            show([])
            if code:
                failed[place] = f"exit code {code}: {last_words(place)}"
                progress.console.print(f"{place}: {failed[place]}")
    return failed


@contextmanager
def alone(path: Path) -> Iterator[IO[bytes]]:
    """Hold the lock of an experiment, after waiting for it.

    Every run inherits the lock. So a run that is still going after its experiment was killed is waited for, and never started
    a second time.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"experiments: {path.parent}: runs of an earlier command are still going; waiting for them",
                file=sys.stderr,
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _share(place: Path) -> float:
    """Share of the epochs of a run that are done."""
    try:
        epochs = (place / TRAINED / "epochs.csv").read_text(encoding="utf-8").count("\n") - 1
    except OSError:
        return 0.0
    changes = Work.model_validate_json((place / WORK).read_bytes()).run.changes
    wanted = changes.get("epochs")
    return min(0.99, epochs / wanted) if isinstance(wanted, int) and wanted else 0.0


def _progress() -> Progress:
    return Progress(
        text_column("{task.description} {task.fields[note]}"),
        BarColumn(),
        TimeElapsedColumn(),
        text_column("left:"),
        TimeRemainingColumn(),
        speed_estimate_period=24 * 3600,
        console=console(),
    )
