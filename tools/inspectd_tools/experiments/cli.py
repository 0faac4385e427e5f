"""Run an experiment of the thesis, or one of your own, from a file of config/experiments: many trainings, one question, one report.

What is done is not done again: the same command goes on where it was cut, run by run and epoch by epoch.
"""

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import IO, get_args

from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from inspectd.errors import ConfigError, InspectdError
from inspectd.terminal import console, text_column
from inspectd_tools.cli import positive
from inspectd_tools.data.published import published
from inspectd_tools.experiments.config import FOLDER, DataName, load_experiment, names
from inspectd_tools.experiments.data import Data, Sources, classes_of
from inspectd_tools.experiments.graphs import draw
from inspectd_tools.experiments.launch import here, last_words, on_ray
from inspectd_tools.experiments.paths import OUTCOME, TRAINED, WORK
from inspectd_tools.experiments.plan import Changed, Run, Start, Work, changes, plan, real_photos
from inspectd_tools.experiments.records import write_rows
from inspectd_tools.experiments.report import FIGURES, write_report
from inspectd_tools.experiments.results import Results, gather
from inspectd_tools.experiments.scale import Scale

_EPILOG = """\
examples:
  python tools/experiments.py experiment_2 --n_runs 3 --scale 0.1 --out out/experiment_2 --from-scratch \\
      --weights MobileNetV2=mobilenet_v2-imagenet-features.safetensors
  python tools/experiments.py experiment_2 ...        the same again, after a cut: goes on
  python tools/experiments.py experiment_4 --cifar10 photos/cifar10 --scale 0.05 --out out/experiment_4
  python tools/experiments.py experiment_1 --real labels.csv --compose my-compose.yaml --out out/mine
  python tools/experiments.py experiment_3 --list     what would be run; nothing is

--scale 0.1 takes a tenth of the images a class to learn from (at least 8), of the epochs (at least 1) and of the runs of each
variant (at least 2, or --n_runs); --scale images=0.1,epochs=0.5 shrinks each by its own, and pixels=0.5 the sides of the
network's input, which a bare number leaves alone. It stands on every figure, and the report says what it made of each number.

Without --real, labels rendered in another style than the training renderer's play the real photos, and what is synthetic is
composed of them: the thesis's photos are not public.

in --out afterwards:
  report.md, figures/     question, table, graphs, what was claimed beside what came out
  results.csv             a row for each experiment, variant, seed, epoch, phase, metric, value; no epoch: what the run ended with
  runs/<part>/<variant>/seed-<n>/   training/ is a run of tools/train.py; log.txt, outcome.json
  data/                   photos and manifests

exit codes: 0 done, 1 some runs failed (the report says which; the same command tries them again), 2 wrong usage, 78 the
experiment, the photos or --out can't be used"""


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the runs are stopped too
    try:
        return _main(args)
    except InspectdError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("experiments: stopped; the same command goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", type=Path, help=f"a file (yaml), or of config/experiments: {', '.join(names())}")
    parser.add_argument("--out", type=Path, help="folder, new or of the same experiment; default: out/<experiment>")
    parser.add_argument(
        "--scale",
        type=_scale,
        default=Scale(),
        metavar="X",
        help="above 0, at most 1, or as images=0.1,epochs=0.5; default: 1",
    )
    parser.add_argument(
        "--n_runs", type=positive, metavar="N", help="of each variant; default: the experiment's, scaled"
    )
    parser.add_argument(
        "--real", type=Path, metavar="PATH", help="your photos: manifest of prepare_data.py, or folder of class folders"
    )
    parser.add_argument("--pass-class", metavar="NAME", help="of --real, where it is not no_fail")
    parser.add_argument(
        "--synthetic", type=Path, metavar="FOLDER", help="synthetic photos, of render, compose or a GAN"
    )
    parser.add_argument("--compose", type=Path, metavar="CONFIG", help="compose them of the real ones by this file")
    parser.add_argument(
        "--cifar10",
        type=Path,
        default=published("cifar10"),
        metavar="FOLDER",
        help="with train/<class>/ and test/<class>/; default: cifar10 in INSPECTD_DATASETS",
    )
    parser.add_argument(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="pretrained backbone; may be repeated; default: torchvision's own",
    )
    parser.add_argument(
        "--from-scratch", action="store_true", help="models without --weights start from random ones, none is fetched"
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="runs at once; default: 1")
    parser.add_argument("--ray", action="store_true", help="spread the runs over a Ray cluster (RAY_ADDRESS) instead")
    parser.add_argument(
        "--report", action="store_true", help="run nothing, report what there is of the experiment so far"
    )
    parser.add_argument(
        "--list", action="store_true", help="say what would be run, and what of it is not as the experiment"
    )
    return parser


def _main(args: argparse.Namespace) -> int:
    begin_s = time.monotonic()
    path = args.experiment if args.experiment.suffix == ".yaml" else FOLDER / f"{args.experiment}.yaml"
    experiment = load_experiment(path)
    classes = classes_of(args.real) if args.real else ()
    start = Start(dict(args.weights), args.from_scratch, classes, args.pass_class)
    runs = plan(experiment, args.scale, args.n_runs, start)
    changed = list(changes(experiment, args.scale, args.n_runs))
    if args.list:
        _show(runs, changed)
        return 0
    out = args.out or Path("out", path.stem)
    data, folder = Data(out / "data"), out / "runs"
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out / "lock") as lock:
        works = [(folder / run.place, run) for run in runs]
        waiting = [(place, run) for place, run in works if not _is_done(place, run) and not args.report]
        if waiting:
            sources = Sources(args.real, args.synthetic, args.compose, args.cifar10, start.weights.get("MobileNetV2"))
            data.make(runs, real_photos(experiment, args.scale, runs), sources)
        for place, run in waiting:
            place.mkdir(parents=True, exist_ok=True)
            foreign = {name: data.whole(name).resolve() for name in get_args(DataName)}
            work = Work(run=run, manifest=data.manifest(run.photos).resolve(), foreign=foreign)
            (place / WORK).write_text(work.model_dump_json(indent=1), encoding="utf-8")
        failed = _run(waiting, args, lock)
        said = {place.relative_to(folder): words for place, words in failed.items()}
        results = gather(path.stem, experiment, args.scale, changed, _photos(args), runs, out, said)
        _write(results, out, time.monotonic() - begin_s)
    return 1 if failed else 0


def _is_done(place: Path, run: Run) -> bool:
    """Raises ConfigError where the folder holds another run: of another scale, or an experiment that has changed since."""
    if not (place / WORK).exists():
        return False
    before = Work.model_validate_json((place / WORK).read_bytes()).run
    if before != run:
        changed = [name for name in Run.model_fields if getattr(before, name) != getattr(run, name)]
        raise ConfigError(
            f"{place}: is a run with another {', '.join(changed)}; give the same --scale and options, or a new --out"
        )
    return (place / OUTCOME).exists()


def _run(waiting: Sequence[tuple[Path, Run]], args: argparse.Namespace, lock: IO[bytes]) -> dict[Path, str]:
    """Folder of each run that failed -> why."""
    failed: dict[Path, str] = {}
    run_of = dict(waiting)
    with _progress() as progress:
        task = progress.add_task("runs", total=sum(run.cost for run in run_of.values()), note=f"0 of {len(waiting)}")
        ended: list[Path] = []

        def show(running: Sequence[Path]) -> None:
            seen = sum(run_of[place].cost for place in ended) + sum(_share(p) * run_of[p].cost for p in running)
            progress.update(task, completed=seen, note=f"{len(ended)} of {len(waiting)}")

        folders = [place for place, _ in waiting]
        spread = on_ray(folders, show) if args.ray else here(folders, args.jobs, lock.fileno(), show)
        for place, code in spread:
            ended.append(place)
            show([])
            if code:
                failed[place] = f"exit code {code}: {last_words(place)}"
                progress.console.print(f"{place}: {failed[place]}")
    return failed


def _share(place: Path) -> float:
    """Of a run's epochs that are behind it."""
    try:
        epochs = (place / TRAINED / "epochs.csv").read_text(encoding="utf-8").count("\n") - 1
    except OSError:
        return 0.0
    changes = Work.model_validate_json((place / WORK).read_bytes()).run.changes
    wanted = changes.get("epochs")
    return min(0.99, epochs / wanted) if isinstance(wanted, int) and wanted else 0.0


def _write(results: Results, out: Path, seconds: float) -> None:
    write_rows(out / "results.csv", results.rows)
    if not results.done:
        print(f"experiments: no run has come to its end; see {out}/runs/*/*/*/log.txt", file=sys.stderr)
        return
    write_report(results, draw(results, out / FIGURES), seconds, out / "report.md")
    table = Table("variant", "runs", "validation accuracy", "test accuracy", title=results.label)
    for name, runs in results.variants.items():
        figures = (results.over_runs(metric, name) for metric in ("validation accuracy", "test accuracy"))
        table.add_row(name, str(len(runs)), *("" if values is None else str(values) for values in figures))
    console().print(table)
    print(f"{out / 'report.md'}")


def _photos(args: argparse.Namespace) -> str:
    real = (
        f"real ones from {args.real.name}"
        if args.real
        else "labels rendered in another style (`--style plant`) play the real ones"
    )
    synthetic = (
        args.synthetic.name
        if args.synthetic
        else f"composed of them ({args.compose.name if args.compose else 'config/compose-filter-label.yaml'})"
    )
    return f"{real}; synthetic ones: {synthetic}; every variant is judged on the same real test photos"


def _show(runs: Sequence[Run], changed: Sequence[Changed]) -> None:
    table = Table("run", "epochs", "train: real + synthetic", "val", title=f"{len(runs)} runs; photos a class")
    for run in runs:
        train, val = run.photos.train, run.photos.val
        table.add_row(
            str(run.place),
            str(run.changes.get("epochs", "")),
            f"{train.real} + {train.synthetic}",
            f"{val.real} + {val.synthetic}",
        )
    console().print(table)
    for change in changed:
        print(f"{change.where} {change.what}: {change.here} instead of {change.experiment}".strip())


@contextmanager
def _alone(path: Path) -> Iterator[IO[bytes]]:
    """Every run inherits the lock, so one that outlives a killed experiment is waited for, and never run twice at once."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"experiments: {path.parent}: runs of an earlier call are still going; waiting for them",
                file=sys.stderr,
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


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


def _scale(text: str) -> Scale:
    names = [field.name for field in fields(Scale)]
    if "=" not in text:
        text = ",".join(f"{name}={text}" for name in names if name != "pixels")
    pairs = [part.partition("=") for part in text.split(",")]
    for name, _, share in pairs:
        if name not in names or not 0 < float(share) <= 1:
            raise argparse.ArgumentTypeError(
                f"{text}: must be above 0 and at most 1, or shares of {', '.join(names)}, such as images=0.1,epochs=0.5"
            )
    return Scale(**{name: float(share) for name, _, share in pairs})


def _weights(text: str) -> tuple[str, Path]:
    model, equals, path = text.partition("=")
    if not equals or not Path(path).is_file():
        raise argparse.ArgumentTypeError(
            f"{text}: must be MODEL=FILE, such as MobileNetV2=mobilenet.safetensors, and there"
        )
    return model, Path(path).resolve()


if __name__ == "__main__":
    sys.exit(main())
