"""Run an experiment of the thesis, or your own, from a file like those of config/experiments: many trainings, one report.

Finished runs are not repeated: after an interruption the same command continues, run by run and epoch by epoch.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from rich.table import Table

from inspectd.errors import InspectdError
from inspectd.terminal import console
from inspectd_tools.cli import new_parser, positive
from inspectd_tools.data.published import published
from inspectd_tools.experiments.config import DATA_NAMES, FOLDER, load_experiment, names
from inspectd_tools.experiments.data import Data, Sources, classes_of
from inspectd_tools.experiments.execution import alone, execute, is_done
from inspectd_tools.experiments.graphs import draw
from inspectd_tools.experiments.launch import Where, add_launch_options, launcher
from inspectd_tools.experiments.paths import WORK
from inspectd_tools.experiments.plan import Changed, Run, Start, Work, changes, plan, real_photos
from inspectd_tools.experiments.records import write_rows
from inspectd_tools.experiments.report import FIGURES, write_report
from inspectd_tools.experiments.results import Results, gather
from inspectd_tools.experiments.scale import Scale

_EPILOG = """\
examples:
  python tools/experiments.py experiment_2 --n_runs 3 --scale 0.1 --out out/experiment_2 --from-scratch \\
      --weights MobileNetV2=mobilenet_v2-imagenet-features.safetensors
  python tools/experiments.py experiment_2 ...        the same command again, after an interruption: it continues
  python tools/experiments.py experiment_4 --cifar10 photos/cifar10 --scale 0.05 --out out/experiment_4
  python tools/experiments.py experiment_1 --real labels.csv --compose my-compose.yaml --out out/mine
  python tools/experiments.py experiment_3 --list     list the runs, but do not run them

--scale 0.1 takes a tenth of the training images per class (at least 8), of the epochs (at least 1) and of the runs of each
variant (at least 2, or --n_runs). --scale images=0.1,epochs=0.5 scales each separately; pixels=0.5 also halves the sides of
the network's input, which a single number does not change. The scale is on every figure, and the report lists every changed
number.

The photos of the thesis are not public. Without --real, labels rendered in another style than the training photos are used as
real photos, and synthetic photos are composed from them.

written to --out:
  report.md, figures/     question, tables, graphs, the claims and what these runs say about them
  results.csv             columns experiment, variant, seed, epoch, phase, metric, value; without epoch: of the final weights
  runs/<part>/<variant>/seed-<n>/   training/ is a run of tools/train.py; log.txt, outcome.json
  data/                   photos and manifests

exit codes: 0 done, 1 some runs failed (the report says which; the same command tries them again), 2 wrong usage, 78 the
experiment, the photos or --out cannot be used"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    experiment: Path
    out: Path | None
    scale: Scale
    n_runs: int | None
    real: Path | None
    pass_class: str | None
    synthetic: Path | None
    compose: Path | None
    cifar10: Path | None
    weights: list[tuple[str, Path]]
    from_scratch: bool
    jobs: int
    threads: int | None
    device: str
    ray: str | None
    report: bool
    show_plan: bool


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument(
        "experiment", type=Path, help=f"a file (yaml), or one of config/experiments: {', '.join(names())}"
    )
    program.add_argument("--out", type=Path, help="folder, new or of the same experiment; default: out/<experiment>")
    program.add_argument(
        "--scale",
        type=_scale,
        default=Scale(),
        metavar="X",
        help="above 0, at most 1, or such as images=0.1,epochs=0.5; default: 1",
    )
    program.add_argument(
        "--n_runs",
        type=positive,
        metavar="N",
        help="runs of each variant; default: as in the experiment, scaled",
    )
    program.add_argument(
        "--real", type=Path, metavar="PATH", help="your photos: manifest of prepare_data.py, or folder of class folders"
    )
    program.add_argument("--pass-class", metavar="NAME", help="pass class of --real, if it is not no_fail")
    program.add_argument(
        "--synthetic", type=Path, metavar="FOLDER", help="synthetic photos from render, compose or a GAN"
    )
    program.add_argument(
        "--compose", type=Path, metavar="CONFIG", help="compose synthetic photos from the real ones, as this file says"
    )
    program.add_argument(
        "--cifar10",
        type=Path,
        default=published("cifar10"),
        metavar="FOLDER",
        help="CIFAR10 with train/<class>/ and test/<class>/, for experiments 4 and 6; "
        "default: cifar10 in the folder that INSPECTD_DATASETS names",
    )
    program.add_argument(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="pretrained backbone; may be repeated; default: the weights of torchvision",
    )
    program.add_argument(
        "--from-scratch",
        action="store_true",
        help="models without --weights start from random weights; nothing is downloaded",
    )
    add_launch_options(program)
    program.add_argument("--report", action="store_true", help="run nothing; report the results so far")
    program.add_argument(
        "--list",
        action="store_true",
        dest="show_plan",
        help="run nothing; list the runs, and what differs from the file of the experiment",
    )
    return program


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the runs are stopped too
    try:
        return _main(options)
    except InspectdError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("experiments: stopped; the same command continues from here", file=sys.stderr)
        return 128 + signal.SIGINT


def _main(options: Options) -> int:
    begin_s = time.monotonic()
    path = options.experiment if options.experiment.suffix == ".yaml" else FOLDER / f"{options.experiment}.yaml"
    experiment = load_experiment(path)
    classes = classes_of(options.real) if options.real else ()
    start = Start(dict(options.weights), options.from_scratch, classes, options.pass_class)
    runs = plan(experiment, options.scale, options.n_runs, start)
    changed = list(changes(experiment, options.scale, options.n_runs))
    if options.show_plan:
        _show(runs, changed)
        return 0
    out = options.out or Path("out", path.stem)
    data, folder = Data(out / "data"), out / "runs"
    out.mkdir(parents=True, exist_ok=True)
    with alone(out / "lock") as lock:
        works = [(folder / run.place, run) for run in runs]
        waiting = {place: run for place, run in works if not is_done(place, run) and not options.report}
        where = Where(options.jobs, options.threads, options.device, options.ray)
        failed = {}
        if waiting:
            launch = launcher(where, out, lock.fileno())
            weights = start.weights.get("MobileNetV2")
            sources = Sources(options.real, options.synthetic, options.compose, options.cifar10, weights)
            data.make(runs, real_photos(experiment, options.scale, runs), sources)
        for place, run in waiting.items():
            place.mkdir(parents=True, exist_ok=True)
            data_sets = {name: data.whole(name).resolve() for name in DATA_NAMES}
            manifest = data.manifest(run.photos).resolve()
            work = Work(run=run, manifest=manifest, data_sets=data_sets, device=where.device_of_run)
            (place / WORK).write_text(work.model_dump_json(indent=1), encoding="utf-8")
        if waiting:
            failed = execute(waiting, launch)
        said = {place.relative_to(folder): words for place, words in failed.items()}
        results = gather(path.stem, experiment, options.scale, changed, _photos(options), runs, out, said)
        _write(results, out, time.monotonic() - begin_s)
    return 1 if failed else 0


def _write(results: Results, out: Path, seconds: float) -> None:
    write_rows(out / "results.csv", results.rows)
    if not results.done:
        print(f"experiments: no run has ended; see {out}/runs/*/*/*/log.txt", file=sys.stderr)
        return
    write_report(results, draw(results, out / FIGURES), seconds, out / "report.md")
    table = Table("variant", "runs", "validation accuracy", "test accuracy", title=results.label)
    for name, runs in results.variants.items():
        figures = (results.over_runs(metric, name) for metric in ("validation accuracy", "test accuracy"))
        table.add_row(name, str(len(runs)), *("" if values is None else str(values) for values in figures))
    console().print(table)
    print(f"{out / 'report.md'}")


def _photos(options: Options) -> str:
    real = (
        f"real photos from {options.real.name}"
        if options.real
        else "labels rendered in another style (`--style plant`) are used as real photos"
    )
    synthetic = (
        options.synthetic.name
        if options.synthetic
        else f"composed from them ({options.compose.name if options.compose else 'config/compose-filter-label.yaml'})"
    )
    return f"{real}; synthetic photos: {synthetic}; every variant is tested on the same real photos"


def _show(runs: Sequence[Run], changed: Sequence[Changed]) -> None:
    table = Table("run", "epochs", "train: real + synthetic", "val", title=f"{len(runs)} runs; photos per class")
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
            f"{text}: must be MODEL=FILE, such as MobileNetV2=mobilenet.safetensors, and the file must exist"
        )
    return model, Path(path).resolve()


if __name__ == "__main__":
    sys.exit(main())
