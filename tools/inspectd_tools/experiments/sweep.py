"""Try training settings: every combination of some values, each with several seeds, ranked by validation photos.

Test photos are not read: what is chosen with them could not be tested with them. All runs have the same photos and seeds.
"""

import argparse
import csv
import itertools
import json
import math
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from inspectd.errors import ConfigError, InspectdError
from inspectd.files.atomic_write import atomic_write
from inspectd.terminal import console, folding_table, print_error
from inspectd_tools.changes import add_set_option, as_changes, changed
from inspectd_tools.cli import new_parser, positive
from inspectd_tools.data.manifest import DataManifest, read_manifest, write_manifest
from inspectd_tools.experiments.config import Options as Values
from inspectd_tools.experiments.config import Share
from inspectd_tools.experiments.execution import alone, execute, is_done
from inspectd_tools.experiments.launch import Where, add_launch_options, launcher
from inspectd_tools.experiments.paths import OUTCOME, TRAINED, WORK
from inspectd_tools.experiments.plan import Photos, Run, Work
from inspectd_tools.experiments.ranking import Ranked, rank
from inspectd_tools.experiments.records import Row, read_outcome, rows_of, write_rows
from inspectd_tools.settings import load_settings, names

_EPILOG = """\
examples:
  python tools/sweep.py photos --data tiles.csv --vary lr=0.01,0.05 --vary model=MobileNetV2,ResNet18 --n_runs 3 \\
      --weights mobilenet_v2-imagenet-features.safetensors --out out/sweep --jobs 2
  python tools/sweep.py photos --data tiles.csv --vary lr=0.01,0.05 --out /net/sweep --ray 10.0.0.5:6379
      the same on a Ray cluster; give the same command again after an interruption: it continues

written to --out:
  ranking.csv   one row per combination: rank, mean validation accuracy with 95 % interval, difference to the first
  results.csv   one row per value, as of experiments.py
  runs/sweep/<values>/seed-<n>/training/   a run for build_engine.py; give that tool the manifest with test photos
  photos.csv    the train and val photos of --data

exit codes: 0 done, 1 some runs failed (the same command tries them again), 2 wrong usage, 75 the cluster can't be used, 78 the
settings, the photos or --out can't be used"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    settings: str
    data: Path
    vary: list[tuple[str, list[JsonValue]]]
    n_runs: int
    weights: Path | None
    out: Path
    jobs: int
    threads: int | None
    device: str
    ray: str | None
    changes: list[str]


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument("settings", help=f"training settings, a file of config/training: {', '.join(names())}")
    program.add_argument("--data", type=Path, required=True, metavar="CSV", help="manifest of prepare_data.py")
    program.add_argument(
        "--vary",
        type=_varied,
        action="append",
        required=True,
        metavar="KEY=VALUE,VALUE",
        help="a key of the training settings, and the values to try; may be repeated: every combination is tried",
    )
    program.add_argument(
        "--n_runs", type=positive, default=3, metavar="N", help="seeds of each combination; default: 3"
    )
    program.add_argument("--weights", type=Path, metavar="FILE", help="pretrained backbone, as for train.py")
    program.add_argument("--out", type=Path, required=True, help="folder, new or of the same sweep")
    add_launch_options(program)
    add_set_option(program, "the training settings in all runs")
    return program


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the runs are stopped too
    try:
        return _main(options)
    except InspectdError as error:
        print_error("sweep", error)
        return error.exit_code
    except KeyboardInterrupt:
        print("sweep: stopped; the same command continues from here", file=sys.stderr)
        return 128 + signal.SIGINT


def _main(options: Options) -> int:
    manifest = read_manifest(options.data, "train", "val")
    runs = plan(options, manifest)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    with alone(out / "lock") as lock:
        photos = _without_test(manifest, out)
        where = Where(options.jobs, options.threads, options.device, options.ray)
        waiting = {place: run for run in runs if not is_done(place := out / "runs" / run.place, run)}
        for place, run in waiting.items():
            place.mkdir(parents=True, exist_ok=True)
            work = Work(run=run, manifest=photos.resolve(), data_sets={}, device=where.device_of_run)
            (place / WORK).write_text(work.model_dump_json(indent=1), encoding="utf-8")
        failed = execute(waiting, launcher(where, out, lock.fileno())) if waiting else {}
        rows = [row for run in runs for row in _rows(run, out)]
    write_rows(out / "results.csv", rows)
    ranking = rank(rows)
    _write(ranking, out / "ranking.csv")
    _show(ranking, len(runs))
    return 1 if failed else 0


def plan(options: Options, manifest: DataManifest) -> list[Run]:
    """Every combination with every seed, seed by seed. Raises ConfigError naming the key and the value that is not allowed."""
    fixed = changed({}, options.changes) | {"classes": list(manifest.classes)}
    keys = [key for key, _ in options.vary]
    if len(set(keys)) < len(keys) or "seed" in keys:
        raise ConfigError("--vary: give each key once, and --n_runs for the seeds")
    count = {side: max(1, len(manifest.of(side)) // len(manifest.classes)) for side in ("train", "val")}  # type: ignore[arg-type]
    photos = Photos(data="labels", train=Share(photos=count["train"]), val=Share(photos=count["val"]))
    runs = []
    for values in itertools.product(*(values for _, values in options.vary)):
        varied: Values = dict(zip(keys, values, strict=True))
        changes = fixed | varied
        settings = load_settings(options.settings, as_changes(changes))
        if options.weights is not None and not settings.pretrained:
            raise ConfigError("--weights: the settings have pretrained: false, which uses no weights")
        runs += [
            Run(
                part="sweep",
                variant=", ".join(f"{key} {value}" for key, value in varied.items()),
                options=varied,
                seed=seed,
                base=options.settings,
                changes=changes | {"seed": seed},
                photos=photos,
                weights=options.weights.resolve() if options.weights else None,
                measures=(),
            )
            for seed in range(settings.seed, settings.seed + options.n_runs)
        ]
    if len({run.place for run in runs}) < len(runs):
        raise ConfigError("--vary: two of the values are the same, or have the same letters and digits")
    return sorted(runs, key=lambda run: run.seed)


def _without_test(manifest: DataManifest, out: Path) -> Path:
    """Raises ConfigError if the folder belongs to a sweep with other photos."""
    path, new = out / "photos.csv", out / "photos-new.csv"
    kept = tuple(photo for photo in manifest.photos if photo.split != "test")
    write_manifest(DataManifest(manifest.names, kept), new)
    if path.exists() and path.read_bytes() != new.read_bytes():
        new.unlink()
        raise ConfigError(f"{path}: the sweep in this folder has other photos; give the same --data, or a new --out")
    new.replace(path)
    return path


def _rows(run: Run, out: Path) -> list[Row]:
    place = out / "runs" / run.place
    return (
        list(rows_of("sweep", run, place / TRAINED, read_outcome(place / OUTCOME)))
        if (place / OUTCOME).exists()
        else []
    )


def _write(ranking: Sequence[Ranked], path: Path) -> None:
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["rank", "variant", "runs", "validation_accuracy", "low", "high", "minus_first", "minus_low", "minus_high"]
        )
        for one in ranking:
            figures = (one.accuracy.mean, one.accuracy.low, one.accuracy.high)
            minus = (None,) * 3 if one.minus is None else (one.minus.mean, one.minus.low, one.minus.high)
            cells = ("" if value is None or math.isnan(value) else value for value in (*figures, *minus))
            writer.writerow([one.rank, one.variant, one.accuracy.n, *cells])


def _show(ranking: Sequence[Ranked], planned: int) -> None:
    done = sum(one.accuracy.n for one in ranking)
    table = folding_table(
        "rank", "variant", "validation accuracy", "minus the first", title=f"{done} of {planned} runs"
    )
    for one in ranking:
        table.add_row(str(one.rank), one.variant, str(one.accuracy), "" if one.minus is None else str(one.minus))
    console().print(table)
    print(
        "Ranked by validation photos alone; the intervals are over the seeds. An interval that includes 0 does not tell a combination\n"
        "from the first. The first is the best of several, so its accuracy is too good: test it with photos that no run has seen\n"
        "(build_engine.py --data)."
    )


def _varied(text: str) -> tuple[str, list[JsonValue]]:
    key, equals, values = text.partition("=")
    try:
        found = changed({}, [f"values=[{values}]"])["values"] if equals and key and values else []
    except ConfigError:
        found = []
    if not found or not isinstance(found, list) or len({json.dumps(value) for value in found}) < len(found):
        raise argparse.ArgumentTypeError(f"{text}: must be KEY=VALUE,VALUE with different values, such as lr=0.01,0.05")
    return key, found


if __name__ == "__main__":
    sys.exit(main())
