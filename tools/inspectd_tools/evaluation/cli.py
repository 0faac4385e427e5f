"""Measure how well a training run or an engine bundle classifies labelled photos, and show its answer for each photo.

For a run, the classes are compared. For an engine, also the verdicts at its threshold: it runs as on the line, one photo
at a time.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.terminal import console
from inspectd_tools.cli import exit_code, new_parser, not_negative, renamed
from inspectd_tools.data.manifest import SPLITS, Split
from inspectd_tools.deploy.tensorrt import copy_with_plan
from inspectd_tools.evaluation.model import TORCH, Model, open_model
from inspectd_tools.evaluation.photos import Photos, photos_for
from inspectd_tools.evaluation.pictures import worst, write_annotated, write_sheets
from inspectd_tools.evaluation.predictions import Judgement, arrays, judge, write_csv
from inspectd_tools.evaluation.speed import measure, speed_table
from inspectd_tools.evaluation.verdicts import verdict_figures, verdict_tables
from inspectd_tools.metrics.classification import summarise, tables
from inspectd_tools.metrics.plots import confusion_figure, plot_certainty

_EPILOG = """\
examples:
  python tools/evaluate.py runs/tiles --data tiles.csv --unknown photos/steel --out out/tiles
  python tools/evaluate.py engines/filter-label --data out/test --out out/filter-label --limit 200 --calc_speed
  python tools/evaluate.py runs/duq-fashionmnist --out out/fashion
      a run of a published set is evaluated on that set's test images

written to --out:
  results.json, predictions.csv   all figures; one row per photo
  confusion.png, certainty.png    confusion matrix; errors if uncertain photos are rejected, and the certainty of right, wrong and unknown photos
  wrong.png, false_accepts.png, false_rejects.png, unknown.png
                                  the worst errors of each kind, if there are any
  annotated/<truth>/              photos with class, certainty, truth and verdict; the number in the name is the row in
                                  predictions.csv

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the model or the photos cannot be used"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    model: Path
    data: Path | None
    split: Split
    unknown: list[Path]
    out: Path
    limit: int | None
    backend: str | None
    precision: str
    convert_trt: bool
    calc_speed: bool


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument("model", type=Path, help="run folder of tools/train.py, or engine bundle")
    program.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="manifest of tools/prepare_data.py (csv), or folder with one folder of photos per class; photos of other "
        "classes count as unknown",
    )
    program.add_argument("--split", choices=SPLITS, default="test", help="part of the manifest; default: test")
    program.add_argument(
        "--unknown",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="unknown photos: a folder or an idx file; may be repeated",
    )
    renamed(program, "--ood", "--unknown")
    program.add_argument("--out", type=Path, required=True, help="new folder")
    program.add_argument(
        "--limit", type=not_negative, metavar="N", help="annotate at most N photos, errors first; default: all"
    )
    program.add_argument(
        "--backend",
        choices=("auto", "openvino", "onnxruntime", "tensorrt", TORCH),
        help=f"default for an engine: auto, as the line chooses; a run needs {TORCH}, its default",
    )
    program.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "int8"),
        default="auto",
        help="arithmetic of an engine; default: auto, as the line chooses",
    )
    program.add_argument(
        "--convert_trt",
        action="store_true",
        help="first build a TensorRT plan in a copy of the bundle (--out/engine), and evaluate that copy",
    )
    program.add_argument(
        "--calc_speed", action="store_true", help="time the model on every backend and precision it can run on here"
    )
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    options = Options(**vars(program.parse_args(arguments)))
    if options.out.exists():
        program.error(f"--out {options.out}: exists; give a new folder, so that no earlier result is lost")
    return exit_code("evaluate", lambda: _evaluate(options))


def _evaluate(options: Options) -> None:
    path, backend, out = options.model, options.backend, options.out
    if options.convert_trt:
        path, backend = out / "engine", "tensorrt"
        copy_with_plan(options.model, path)
    model = open_model(path, backend, options.precision)
    photos = photos_for(model, options.data, options.split, options.unknown)
    if {photos.fingerprint, photos.known.fingerprint} & model.seen:
        print(
            "evaluate: the model was trained on these photos, or its threshold was chosen with them: "
            "the figures are better than on new photos",
            file=sys.stderr,
        )
    judgements = judge(model, photos)
    results = _figures(path, model, photos, judgements)
    if options.calc_speed:
        results["speed"] = measure(model, photos.known.pixels)
    sheets = worst(judgements, model.classes.index(model.pass_class))
    results["sheets"] = {name: len(photos) for name, photos in sheets.items()}
    out.mkdir(parents=True, exist_ok=True)
    write_sheets(out, sheets)
    (out / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    write_csv(out / "predictions.csv", judgements, model.classes)
    plot_certainty(out / "certainty.png", *arrays(judgements), model.policy.threshold if model.policy else None)
    confusion_figure(results["test"]["confusion"], model.classes).savefig(out / "confusion.png", dpi=100)
    write_annotated(out / "annotated", judgements, sheets, options.limit)
    _print(model, results, out)


def _figures(path: Path, model: Model, photos: Photos, judgements: list[Judgement]) -> dict[str, Any]:
    scores, labels, unknown = arrays(judgements)
    results = {
        "model": {"path": str(path), "name": model.name, "backend": model.backend, "precision": model.precision},
        "photos": {
            "known": len(labels),
            "unknown": {name: len(values) for name, values in unknown.items()},
            "fingerprint": photos.fingerprint,
        },
        "test": summarise(scores, labels, model.classes, model.pass_class, unknown),
    }
    if model.policy is not None:
        verdicts = verdict_figures(judgements, model.pass_class)
        results["verdicts"] = {"threshold": model.policy.threshold, **verdicts}
    return results


def _print(model: Model, results: dict[str, Any], out: Path) -> None:
    screen = console()
    screen.print(f"{model.name}, {model.backend} {model.precision}", tables(results["test"]))
    if "verdicts" in results:
        screen.print(verdict_tables(results["verdicts"]))
    if "speed" in results:
        screen.print(speed_table(results["speed"]))
    for name, count in results["sheets"].items():
        print(f"{count} {name.replace('_', ' ')}" + (f", the worst in {out / name}.png" if count else ""))
    print(f"all figures: {out / 'results.json'}; every photo: {out / 'predictions.csv'}, {out / 'annotated'}")


if __name__ == "__main__":
    sys.exit(main())
