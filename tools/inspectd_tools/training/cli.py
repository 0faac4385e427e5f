"""Train a DUQ classifier from training settings file and photos: a manifest of prepare_data.py, or a folder of class folders.

The run folder then holds the weights, the settings it was run with, the epochs and the results;
`tools/build_engine.py` makes an engine of it.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.files.json_file import read_json
from inspectd.terminal import console
from inspectd_tools.cli import exit_code, positive
from inspectd_tools.data.images import Images, load_photos
from inspectd_tools.data.manifest import SPLITS, DataManifest, read_manifest
from inspectd_tools.data.published import Sets, load_foreign, load_sets, usual_foreign
from inspectd_tools.distributed import is_first, processes, wait
from inspectd_tools.metrics.classification import compare, comparison_table, over_runs, summarise, summary_table, tables
from inspectd_tools.metrics.ood_baselines import Certainty, mahalanobis, max_softmax, nearest_neighbours
from inspectd_tools.metrics.plots import plot_certainty
from inspectd_tools.networks.classifier import Classifier, SoftmaxHead, load_backbone
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.settings import FOLDER, TrainingSettings, load_settings
from inspectd_tools.training.diagnostics import failures, noise
from inspectd_tools.training.loop import WEIGHTS, all_features, assess, fit_head, kept, save_weights, to_network, train
from inspectd_tools.training.run_folder import read_settings
from inspectd_tools.training.tensorboard import log_run

_EPILOG = """\
example:
  python tools/synthesize.py render out/train --count-per-class 1500 --seed 1
  python tools/train.py filter-label --data out/train --weights mobilenet_v2-imagenet-features.safetensors \\
      --run runs/filter-label --set epochs=8
  python tools/prepare_data.py photos/tiles --out tiles.csv
  python tools/train.py photos --data tiles.csv --set pass_class=free \\
      --weights mobilenet_v2-imagenet-features.safetensors --run runs/tiles --ood photos/steel
  python tools/train.py duq-fashionmnist --n_runs 3
  torchrun --nproc-per-node 4 tools/train.py duq-fashionmnist     the same training, each batch shared by 4 processes

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the settings or the data can't be used"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "default"))
    parser.add_argument("settings", help=f"a file of config/training: {known}")
    parser.add_argument(
        "--data",
        type=Path,
        help="manifest (csv), or folder with one folder of photos a class; a published data set is found by itself",
    )
    parser.add_argument("--run", type=Path, help="new folder for weights and results; default: runs/<settings>")
    parser.add_argument("--resume", action="store_true", help="go on with the run where it was cut")
    parser.add_argument(
        "--weights",
        type=Path,
        help="pretrained backbone (safetensors or state dict), where the settings ask for one; default: torchvision's own",
    )
    parser.add_argument(
        "--ood",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="foreign photos, a folder or idx file: how well are they told apart?",
    )
    parser.add_argument(
        "--n_runs", type=positive, default=1, metavar="N", help="train with N seeds, into run/seed-<n>; default: 1"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key (JSON value)")
    args = parser.parse_args(arguments)
    with processes(), ExitStack() as stack:
        if not is_first():
            stack.enter_context(redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        return exit_code("train", lambda: _train(parser, args))


def _train(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    run = args.run or Path("runs") / args.settings
    manifest = read_manifest(args.data, *SPLITS) if args.data is not None and is_csv(args.data) else None
    settings = load_settings(args.settings, [*_classes_of(manifest), *args.set])
    if args.weights is not None and not settings.pretrained:
        parser.error("--weights: the settings say pretrained: false")
    if is_first() and run.exists() and not args.resume:
        parser.error(f"{run}: exists; give a new folder, so that no earlier run is lost, or --resume")
    foreign = args.ood or usual_foreign(settings)
    results = []
    for seed in range(settings.seed, settings.seed + args.n_runs):
        folder = run / f"seed-{seed}" if args.n_runs > 1 else run
        of_seed = settings.model_copy(update={"seed": seed})
        results.append(_run(of_seed, manifest or args.data, args.weights, foreign, folder))
    if args.n_runs > 1 and is_first():
        summary = over_runs(results)
        (run / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        console().print(summary_table(summary))


def _classes_of(manifest: DataManifest | None) -> list[str]:
    """The manifest is the only source of its classes' order, so it overrides that of the settings."""
    return [] if manifest is None else [f"classes={json.dumps(manifest.classes)}"]


def _run(
    settings: TrainingSettings, data: DataManifest | Path | None, weights: Path | None, foreign: list[Path], run: Path
) -> dict[str, Any]:
    """Train and, where there are test photos, look at them for the first and only time. Returns the run's results."""
    torch.manual_seed(settings.seed)
    classifier = Classifier(settings)
    if settings.pretrained:
        loaded = load_backbone(classifier, settings, weights)
        if loaded.missing:
            print(f"not in the pretrained weights, left random: {', '.join(loaded.missing)}", file=sys.stderr)
    sets = load_sets(settings, data)
    unknown_sets = {str(path): load_foreign(path, settings.input) for path in foreign}
    if isinstance(data, DataManifest):
        kinds = data.unknown("test").items()
        unknown_sets |= {name: load_photos(photos, settings.input, name) for name, photos in kinds}
    if is_first():
        _begin(settings, sets, weights, run)
    wait()
    epochs = train(classifier, settings, sets.train, sets.validation, run)
    if not is_first():
        return {}
    known = all_features(classifier, settings, sets.train)
    fit_head(classifier, settings, known, sets.train)
    save_weights(classifier, run / WEIGHTS)
    validation = all_features(classifier, settings, sets.validation)
    loss, accuracy = assess(classifier.head, validation, sets.validation, settings)
    results: dict[str, Any] = {
        "epochs": len(epochs),
        "kept_epoch": kept(epochs, settings),
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "training_s": sum(epoch.seconds for epoch in epochs),
    }
    results["failures"] = _failures(classifier, settings, validation, sets.validation)
    for failure in results["failures"]:
        print(f"train: {failure}", file=sys.stderr)
    if sets.test is not None:
        results |= _test(classifier, settings, known, torch.from_numpy(sets.train.labels), sets.test, unknown_sets, run)
    (run / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    if "Tensorboard" in settings.PFM_flag:
        log_run(run, settings, [asdict(epoch) for epoch in epochs], results, sets.train)
    return results


def _failures(classifier: Classifier, settings: TrainingSettings, features: Tensor, validation: Images) -> list[str]:
    if not settings.RBF_flag:
        return []
    spec = settings.input
    with torch.no_grad():
        log_kernel = classifier.head(features)
        of_noise = classifier(to_network(noise(spec.channels, spec.height, spec.width), settings))
    return failures(log_kernel, torch.from_numpy(validation.labels), of_noise, settings.classes)


@torch.no_grad()
def _test(
    classifier: Classifier,
    settings: TrainingSettings,
    known: Tensor,
    known_labels: Tensor,
    test: Images,
    foreign: dict[str, Images],
    run: Path,
) -> dict[str, Any]:
    """The test photos and the foreign ones, for the first and only time. `known`: features of the training photos."""
    measures: dict[str, Certainty] = {
        "DUQ" if settings.RBF_flag else "softmax": lambda features: classifier.head(features).exp().max(1).values,
        "max-softmax of a linear probe": max_softmax(known, known_labels, len(settings.classes)),
        "Mahalanobis": mahalanobis(known, known_labels),
        "nearest neighbours": nearest_neighbours(known),
    }
    softmax = classifier.softmax if settings.epochs else None
    if softmax is not None:
        measures["softmax that trained it"] = lambda features: softmax(features).exp().max(1).values
    features = all_features(classifier, settings, test)
    foreign_features = {name: all_features(classifier, settings, images) for name, images in foreign.items()}
    scores, unknown = _scores(classifier.head, features, foreign_features)
    comparison = compare(
        {name: measure(features).double().numpy() for name, measure in measures.items()},
        scores.argmax(1) == test.labels,
        {
            name: {kind: measure(other).double().numpy() for kind, measure in measures.items()}
            for name, other in foreign_features.items()
        },
    )
    summary = summarise(scores, test.labels, settings.classes, settings.pass_class, unknown)
    plot_certainty(run / "certainty.png", scores, test.labels, unknown)
    results = {"test": summary, "certainty": comparison}
    if softmax is not None:
        by_softmax, of_unknown = _scores(softmax, features, foreign_features)
        results["test_softmax"] = summarise(by_softmax, test.labels, settings.classes, settings.pass_class, of_unknown)
    if "Terminal" in settings.PFM_flag:
        console().print(tables(summary), comparison_table(comparison))
        if softmax is not None:
            console().print("The same by the softmax that trained it:", tables(results["test_softmax"]))
    return results


def _scores(
    head: DuqHead | SoftmaxHead, features: Tensor, foreign: dict[str, Tensor]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """(N, classes) of the test photos' features (N, features), and those of each foreign set."""
    scores = {name: head(of).exp().double().numpy() for name, of in foreign.items()}
    return head(features).exp().double().numpy(), scores


def _begin(settings: TrainingSettings, sets: Sets, weights: Path | None, run: Path) -> None:
    """The folder of a new run; that of an older one must be of the same settings and photos."""
    provenance = {
        "data_fingerprint": sets.train.fingerprint,
        "n_train": len(sets.train.labels),
        "n_validation": len(sets.validation.labels),
        "weights": weights.name if weights else None,
        "torch": torch.__version__,
        "git_commit": git_commit(),
    }
    if (run / "settings.json").exists():
        before = read_settings(run)
        photos = read_json(run / "provenance.json").get("data_fingerprint")
        if before.model_copy(update={"epochs": settings.epochs}) != settings or photos != sets.train.fingerprint:
            raise ConfigError(f"{run}: is of other settings or other photos and can't be resumed with these")
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.json").write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    (run / "provenance.json").write_text(json.dumps(provenance, indent=2), encoding="utf-8")


def git_commit() -> str:
    """Of the checkout these tools lie in; 'unknown' outside of one."""
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
