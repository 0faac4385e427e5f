"""One training from settings and photos to `results.json`: load, train, fit the head, measure."""

import json
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd.terminal import console
from inspectd_tools.data.images import Images, load_photos
from inspectd_tools.data.manifest import DataManifest
from inspectd_tools.data.published import load_sets, load_unknown
from inspectd_tools.distributed import is_first, wait
from inspectd_tools.metrics.classification import compare, comparison_table, summarise, tables
from inspectd_tools.metrics.ood_baselines import Certainty, mahalanobis, max_softmax, nearest_neighbours
from inspectd_tools.metrics.plots import plot_certainty
from inspectd_tools.networks.classifier import Classifier, SoftmaxHead
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.networks.predict import features
from inspectd_tools.networks.pretrained import load_backbone
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.diagnostics import failures, noise
from inspectd_tools.training.loop import WEIGHTS, assess, fit_head, kept, save_weights, train
from inspectd_tools.training.run_folder import begin_run
from inspectd_tools.training.tensorboard import log_run


def run(
    settings: TrainingSettings,
    data: DataManifest | Path | None,
    weights: Path | None,
    unknown: list[Path],
    folder: Path,
) -> dict[str, Any]:
    """Train into `folder` and return the results; in all processes but the first the results are empty.

    `data`: manifest, folder of class folders, or None for a published set. `weights`: file of a pretrained backbone; None:
    those of torchvision. `unknown`: folders or idx files of unknown photos. Test photos, if there are any, are used once, after training.
    Raises ConfigError or TrainingError.
    """
    torch.manual_seed(settings.seed)
    classifier = Classifier(settings)
    if settings.pretrained:
        missing = load_backbone(classifier, settings, weights).missing
        if missing:
            print(f"not in the pretrained weights, so random at the start: {', '.join(missing)}", file=sys.stderr)
    sets = load_sets(settings, data)
    unknown_sets = _unknown_sets(settings, data, unknown)
    if is_first():
        begin_run(folder, settings, sets, weights)
    wait()
    epochs = train(classifier, settings, sets.train, sets.validation, folder)
    if not is_first():
        return {}
    trained_on = features(classifier, settings.input, sets.train.pixels)
    fit_head(classifier, settings, trained_on, sets.train)
    save_weights(classifier, folder / WEIGHTS)
    validation = features(classifier, settings.input, sets.validation.pixels)
    loss, accuracy = assess(classifier.head, validation, sets.validation, settings)
    results: dict[str, Any] = {
        "epochs": len(epochs),
        "kept_epoch": kept(epochs, settings),
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "training_s": sum(epoch.seconds for epoch in epochs),
        "failures": _failures(classifier, settings, validation, sets.validation),
    }
    for failure in results["failures"]:
        print(f"train: {failure}", file=sys.stderr)
    if sets.test is not None:
        labels = torch.from_numpy(sets.train.labels)
        results |= _test(classifier, settings, (trained_on, labels), sets.test, unknown_sets, folder)
    (folder / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    if "Tensorboard" in settings.PFM_flag:
        log_run(folder, settings, [asdict(epoch) for epoch in epochs], results, sets.train)
    return results


def _unknown_sets(
    settings: TrainingSettings, data: DataManifest | Path | None, unknown: list[Path]
) -> dict[str, Images]:
    """Those that were asked for, and the unknown test photos of a manifest."""
    sets = {str(path): load_unknown(path, settings.input) for path in unknown}
    if isinstance(data, DataManifest):
        kinds = {name: photos for name, photos in data.unknown("test").items() if photos}
        if kinds:
            images = load_photos(list(chain(*kinds.values())), settings.input, "unknown")
            ends = np.cumsum([len(photos) for photos in kinds.values()])
            for name, end in zip(kinds, ends, strict=True):
                sets[name] = images.take(np.arange(end - len(kinds[name]), end))
    return sets


def _failures(classifier: Classifier, settings: TrainingSettings, validation: Tensor, images: Images) -> list[str]:
    """`validation`: features (N, features) of the validation images."""
    if not settings.RBF_flag:
        return []
    spec = settings.input
    with torch.no_grad():
        log_kernel = classifier.head(validation)
        of_noise = classifier(to_network(noise(spec.channels, spec.height, spec.width), spec))
    return failures(
        log_kernel, torch.from_numpy(images.labels), of_noise, settings.classes, is_trained=settings.epochs > 0
    )


@torch.no_grad()
def _test(
    classifier: Classifier,
    settings: TrainingSettings,
    trained_on: tuple[Tensor, Tensor],
    test: Images,
    unknown: dict[str, Images],
    folder: Path,
) -> dict[str, Any]:
    """Figures of the test photos and of the unknown sets. `trained_on`: (N, features) and (N,) labels of the training photos."""
    measures: dict[str, Certainty] = {
        "DUQ" if settings.RBF_flag else "softmax": lambda values: classifier.head(values).exp().max(1).values,
        "max-softmax of a linear probe": max_softmax(*trained_on, len(settings.classes)),
        "Mahalanobis": mahalanobis(*trained_on),
        "nearest neighbours": nearest_neighbours(trained_on[0]),
    }
    softmax = classifier.softmax if settings.epochs else None
    if softmax is not None:
        measures["softmax that trained it"] = lambda values: softmax(values).exp().max(1).values
    own = features(classifier, settings.input, test.pixels)
    others = {name: features(classifier, settings.input, images.pixels) for name, images in unknown.items()}
    scores, of_unknown = _scores(classifier.head, own, others)
    comparison = compare(
        {name: measure(own).double().numpy() for name, measure in measures.items()},
        scores.argmax(1) == test.labels,
        {
            name: {kind: measure(other).double().numpy() for kind, measure in measures.items()}
            for name, other in others.items()
        },
    )
    summary = summarise(scores, test.labels, settings.classes, settings.pass_class, of_unknown)
    plot_certainty(folder / "certainty.png", scores, test.labels, of_unknown)
    results = {"test": summary, "certainty": comparison}
    if softmax is not None:
        by_softmax, of_unknown = _scores(softmax, own, others)
        results["test_softmax"] = summarise(by_softmax, test.labels, settings.classes, settings.pass_class, of_unknown)
    if "Terminal" in settings.PFM_flag:
        console().print(tables(summary), comparison_table(comparison))
        if softmax is not None:
            console().print("The same, from the softmax that trained the network:", tables(results["test_softmax"]))
    return results


def _scores(
    head: DuqHead | SoftmaxHead, own: Tensor, others: dict[str, Tensor]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """(N, classes) from the features (N, features) of the test photos, and the same for each unknown set."""
    scores = {name: head(values).exp().double().numpy() for name, values in others.items()}
    return head(own).exp().double().numpy(), scores
