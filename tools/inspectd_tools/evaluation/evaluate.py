"""A run or an engine judges labelled photos: figures, tables and pictures."""

import json
import sys
from pathlib import Path
from typing import Any

from inspectd.terminal import console
from inspectd_tools.deploy.tensorrt import copy_with_plan
from inspectd_tools.evaluation.model import Model, open_model
from inspectd_tools.evaluation.options import Options
from inspectd_tools.evaluation.photos import Photos, photos_for
from inspectd_tools.evaluation.pictures import worst, write_annotated, write_sheets
from inspectd_tools.evaluation.predictions import Judgement, arrays, judge, write_csv
from inspectd_tools.evaluation.speed import measure, speed_table
from inspectd_tools.evaluation.verdicts import verdict_figures, verdict_tables
from inspectd_tools.metrics.classification import summarise, tables
from inspectd_tools.metrics.plots import confusion_figure, plot_certainty


def evaluate(options: Options) -> None:
    """Write everything to `options.out`. Raises ConfigError, EngineError and OSError."""
    path, backend, out = options.model, options.backend, options.out
    if options.convert_trt:
        path, backend = out / "engine", "tensorrt"
        copy_with_plan(options.model, path)
    model = open_model(path, backend, options.precision, options.device)
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
