"""Train a DUQ classifier from an experiment file and photos: a manifest of prepare_data.py, or a folder of class folders.

The run folder then holds the best weights, the experiment as it was run, the epochs and the results;
`tools/build_engine.py` makes an engine of it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from rich.console import Console

from inspectd.errors import ConfigError, InspectdError
from inspectd_tools.dataset.manifest import DataManifest, read_manifest
from inspectd_tools.dataset.scan import class_photos, photos_of
from inspectd_tools.training.data import Images, load_images, load_split, split
from inspectd_tools.training.experiment import FOLDER, Experiment, load_experiment
from inspectd_tools.training.loop import all_scores, train
from inspectd_tools.training.models import DuqClassifier, load_backbone
from inspectd_tools.training.results import summarise, tables

_EPILOG = """\
example:
  python tools/synthesize.py render out/train --count-per-class 1500 --seed 1
  python tools/train.py filter-label --data out/train --weights mobilenet_v2-imagenet-features.safetensors \\
      --run runs/filter-label --set epochs=8
  python tools/prepare_data.py photos/tiles --out tiles.csv
  python tools/train.py photos --data tiles.csv --set pass_class=free \
      --weights mobilenet_v2-imagenet-features.safetensors --run runs/tiles --ood photos/steel

exit codes: 0 done, 2 wrong usage, 78 the experiment or the data can't be used"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "default"))
    parser.add_argument("experiment", help=f"a file of config/experiments: {known}")
    parser.add_argument(
        "--data", type=Path, required=True, help="manifest (csv) or folder with one folder of photos a class"
    )
    parser.add_argument("--run", type=Path, required=True, help="new folder for weights and results")
    parser.add_argument(
        "--weights", type=Path, help="pretrained backbone (safetensors), where the experiment wants one"
    )
    parser.add_argument(
        "--ood",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="foreign photos: how well are they told apart?",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key (JSON value)")
    args = parser.parse_args(arguments)
    try:
        manifest = read_manifest(args.data) if args.data.suffix == ".csv" else None
        experiment = load_experiment(args.experiment, [*_classes_of(manifest), *args.set])
        if experiment.pretrained != (args.weights is not None):
            parser.error("--weights must be given exactly where the experiment says pretrained: true")
        if args.ood and manifest is None:
            parser.error("--ood needs the test photos of a manifest beside it; make one with prepare_data.py")
        if args.run.exists():
            parser.error(f"{args.run}: exists; give a new folder, so that no earlier run is lost")
        classifier = _train(experiment, manifest or args.data, args.weights, args.run)
        if manifest is not None:
            _test(classifier, experiment, manifest, args.ood, args.run)
    except InspectdError as error:
        print(f"train: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _classes_of(manifest: DataManifest | None) -> list[str]:
    """The manifest is the only source of its classes' order, so it overrides the experiment's."""
    return [] if manifest is None else [f"classes={json.dumps(manifest.classes)}"]


def _load(data: DataManifest | Path, experiment: Experiment) -> tuple[Images, Images]:
    """Training and validation images; a folder is split here, a manifest says it itself."""
    if isinstance(data, Path):
        images = load_images(class_photos(data, experiment.classes), experiment.input)
        return split(images, experiment.validation_share, experiment.seed)
    if experiment.classes != data.classes:
        raise ConfigError(f"classes: {experiment.classes} is not the manifest's order, {data.classes}")
    return load_split(data, "train", experiment.input), load_split(data, "val", experiment.input)


def _train(experiment: Experiment, data: DataManifest | Path, weights: Path | None, run: Path) -> DuqClassifier:
    torch.manual_seed(experiment.seed)
    classifier = DuqClassifier(experiment).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights is not None:
        load_backbone(classifier, weights)
    train_set, validation_set = _load(data, experiment)
    run.mkdir(parents=True)
    (run / "experiment.json").write_text(experiment.model_dump_json(indent=2), encoding="utf-8")
    provenance = {
        "data_fingerprint": train_set.fingerprint,
        "n_train": len(train_set.labels),
        "n_validation": len(validation_set.labels),
        "weights": weights.name if weights else None,
        "torch": torch.__version__,
        "git_commit": git_commit(),
    }
    (run / "provenance.json").write_text(json.dumps(provenance, indent=2), encoding="utf-8")
    train(classifier, experiment, train_set, validation_set, run)
    return classifier


def _test(
    classifier: DuqClassifier, experiment: Experiment, manifest: DataManifest, foreign: list[Path], run: Path
) -> None:
    """The manifest's test photos, and the foreign ones, for the first and only time."""
    test_set = load_split(manifest, "test", experiment.input)
    scores = all_scores(classifier, experiment, test_set).double().numpy()
    unknown = {}
    for folder in foreign:
        images = load_images([(path, -1) for path in photos_of(folder)], experiment.input, str(folder))
        unknown[str(folder)] = all_scores(classifier, experiment, images).double().numpy()
    results = summarise(scores, test_set.labels, manifest.classes, unknown)
    (run / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    Console().print(tables(results, manifest.classes))


def git_commit() -> str:
    """Of the checkout these tools lie in; 'unknown' outside of one."""
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
