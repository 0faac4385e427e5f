"""Say what a training run or an engine bundle is worth on labelled photos, and show what it says of each.

A run is judged by its classes alone; an engine also by its verdicts, at its threshold and through the line's own
engine, one photo at a time.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from inspectd.terminal import console
from inspectd_tools.cli import exit_code, not_negative
from inspectd_tools.data.manifest import SPLITS
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
  python tools/evaluate.py runs/tiles --data tiles.csv --ood photos/steel --out out/tiles
  python tools/evaluate.py engines/filter-label --data out/test --out out/filter-label --limit 200 --calc_speed
  python tools/evaluate.py runs/duq-fashionmnist --out out/fashion
      a run of a published set is evaluated on that set's test images

in --out afterwards:
  results.json, predictions.csv   all figures; a row a photo
  confusion.png, certainty.png    confusion matrix; reliability and certainty of right, wrong and unknown photos
  wrong.png, false_accepts.png, false_rejects.png, unknown.png
                                  the worst errors of each kind, where there are any
  annotated/<truth>/              photos with class, certainty, truth and verdict; the number is the row in predictions.csv

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the model or the photos can't be used"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="run folder of tools/train.py, or engine bundle")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="manifest of tools/prepare_data.py (csv), or folder with one folder of photos a class; photos of other "
        "classes count as unknown",
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="of the manifest; default: test")
    parser.add_argument(
        "--ood",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="unknown photos, a folder or idx file; may be repeated",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument(
        "--limit", type=not_negative, metavar="N", help="annotate at most N photos, errors first; default: all"
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "openvino", "onnxruntime", "tensorrt", TORCH),
        help=f"default: auto, as the line chooses, for an engine; {TORCH}, which is all there is, for a run",
    )
    parser.add_argument(
        "--precision", choices=("fp32", "bf16", "int8"), default="fp32", help="of an engine's arithmetic; default: fp32"
    )
    parser.add_argument(
        "--convert_trt",
        action="store_true",
        help="make a TensorRT plan of an engine first, in a copy of the bundle in --out/engine, and evaluate that one",
    )
    parser.add_argument("--calc_speed", action="store_true", help="time every backend and precision there is for it")
    args = parser.parse_args(arguments)
    if args.out.exists():
        parser.error(f"--out {args.out}: exists; give a new folder, so that no earlier result is lost")
    return exit_code("evaluate", lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> None:
    path, backend = args.model, args.backend
    if args.convert_trt:
        path, backend = args.out / "engine", "tensorrt"
        copy_with_plan(args.model, path)
    model = open_model(path, backend, args.precision)
    photos = photos_for(model, args.data, args.split, args.ood)
    if {photos.fingerprint, photos.known.fingerprint} & model.seen:
        print("evaluate: these photos trained it or chose its threshold: it looks better than it is", file=sys.stderr)
    judgements = judge(model, photos)
    results = _figures(path, model, photos, judgements)
    if args.calc_speed:
        results["speed"] = measure(model, photos.known.pixels)
    sheets = worst(judgements, model.classes.index(model.pass_class))
    results["sheets"] = {name: len(photos) for name, photos in sheets.items()}
    args.out.mkdir(parents=True, exist_ok=True)
    write_sheets(args.out, sheets)
    (args.out / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    write_csv(args.out / "predictions.csv", judgements, model.classes)
    plot_certainty(args.out / "certainty.png", *arrays(judgements), model.policy.threshold if model.policy else None)
    confusion_figure(results["test"]["confusion"], model.classes).savefig(args.out / "confusion.png", dpi=100)
    write_annotated(args.out / "annotated", judgements, sheets, args.limit)
    _print(model, results, args.out)


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
