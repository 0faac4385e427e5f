"""One training from settings and photos to `results.json`: load, train, fit the head, measure."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd.terminal import console
from inspectd_tools.data.images import Images, load_photos
from inspectd_tools.data.manifest import UNKNOWN, DataManifest, Split
from inspectd_tools.data.published import Sets, load_sets, load_unknown
from inspectd_tools.device import CPU
from inspectd_tools.distributed import is_first, wait
from inspectd_tools.metrics.classification import compare, comparison_table, summarise, tables
from inspectd_tools.metrics.plots import plot_certainty
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.predict import features
from inspectd_tools.networks.pretrained import load_backbone
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.answers import Answered, Judge
from inspectd_tools.training.cross_validation import cross_validate, without_choice
from inspectd_tools.training.diagnostics import failures, noise
from inspectd_tools.training.folds import unknown_in_val
from inspectd_tools.training.loop import WEIGHTS, Epoch, assess, fit_head, kept, save_weights, train
from inspectd_tools.training.out_of_fold import write_out_of_fold
from inspectd_tools.training.run_folder import begin_run
from inspectd_tools.training.tensorboard import log_run


@dataclass(frozen=True, slots=True)
class Start:
    """How a training starts, besides its settings."""

    weights: Path | None = None
    """File of a pretrained backbone; None: torchvision's weights."""
    device: torch.device = CPU
    compile: bool = False
    """Whether torch.compile compiles the network."""


def run(
    settings: TrainingSettings,
    data: DataManifest | Path | None,
    start: Start,
    unknown: list[Path],
    folder: Path,
    folds: int = 0,
) -> dict[str, Any]:
    """Train into `folder` and return the results; in all processes but the first the results are empty.

    `data`: manifest, folder of class folders, or None for a published set. `unknown`: folders or idx files of unknown photos. `folds`: cross-validate the train and val photos of
    a manifest in so many folds, then train with all of them; 0: train with its train photos, validate with its val photos. Test
    photos, if there are any, are used once, after training. Raises ConfigError or TrainingError.
    """
    new = partial(_new_classifier, settings, start)
    classifier = new()
    sets = load_sets(settings, data)
    if folds:
        settings = without_choice(settings)
        sets = Sets(sets.train.joined(sets.validation), sets.validation.take(np.empty(0, np.int64)), sets.test)
    unknown_sets = _unknown_sets(settings, data, unknown)
    if is_first():
        begin_run(folder, settings, sets, start.weights, start.device)
    wait()
    crossed = (
        _cross_validated(new, settings, data, sets.train, folds, folder)
        if isinstance(data, DataManifest) and folds
        else None
    )
    epochs = train(classifier, settings, sets.train, sets.train if folds else sets.validation, folder)
    if not is_first():
        return {}
    trained_on = features(classifier, settings.input, sets.train.pixels)
    fit_head(classifier.head, settings, trained_on, sets.train)
    save_weights(classifier, folder / WEIGHTS)
    if crossed is None:
        log_scores = _log_scores(classifier, settings, sets.validation)
        results = _validation(classifier, settings, log_scores, sets.validation.labels, epochs)
    else:
        results = _validation(classifier, settings, crossed.known.log_scores, crossed.labels, epochs)
    if sets.test is not None and (crossed or len(sets.test.labels)):
        learned_from = trained_on, torch.from_numpy(sets.train.labels)
        tested = _answered(classifier, settings, learned_from, sets.test, unknown_sets)
        results |= _test(settings, crossed.joined(tested) if crossed else tested, folder)
    (folder / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    if "Tensorboard" in settings.PFM_flag:
        log_run(folder, settings, [asdict(epoch) for epoch in epochs], results, sets.train)
    return results


def _new_classifier(settings: TrainingSettings, start: Start) -> Classifier:
    """Its backbone is where the network computes. The heads follow it while they are trained; the features are judged on the CPU."""
    torch.manual_seed(settings.seed)
    classifier = Classifier(settings)
    if settings.pretrained:
        missing = load_backbone(classifier, settings, start.weights).missing
        if missing:
            print(f"not in the pretrained weights, so random at the start: {', '.join(missing)}", file=sys.stderr)
    classifier.backbone.to(start.device)
    if start.compile:
        classifier.features = torch.compile(classifier.features)  # type: ignore[method-assign]
    return classifier


def _unknown_sets(
    settings: TrainingSettings, data: DataManifest | Path | None, unknown: list[Path]
) -> dict[str, Images]:
    """Those that were asked for, and the unknown test photos of a manifest."""
    sets = {str(path): load_unknown(path, settings.input) for path in unknown}
    return sets | (_unknown_of(data, "test", settings) if isinstance(data, DataManifest) else {})


def _unknown_of(manifest: DataManifest, side: Split, settings: TrainingSettings) -> dict[str, Images]:
    """Kind -> its photos, without kinds that have none."""
    kinds = {name: photos for name, photos in manifest.unknown(side).items() if photos}
    images = load_photos(list(chain(*kinds.values())), settings.input, "unknown")
    ends = np.cumsum([len(photos) for photos in kinds.values()])
    return {name: images.take(np.arange(end - len(kinds[name]), end)) for name, end in zip(kinds, ends, strict=True)}


def _cross_validated(
    new: Callable[[], Classifier],
    settings: TrainingSettings,
    manifest: DataManifest,
    known: Images,
    folds: int,
    folder: Path,
) -> Answered:
    """Write `out_of_fold.csv`, and return its answers. `known`: the photos of train and val."""
    unknown = load_photos(unknown_in_val(manifest), settings.input, "unknown")
    found, answers = cross_validate(new, settings, manifest, known.joined(unknown), folds, folder)
    if is_first():
        write_out_of_fold(found, folder)
    labels = known.joined(unknown).labels
    kinds = {
        name: answers.take(np.flatnonzero(labels == label))
        for label, name in enumerate(manifest.names)
        if name.startswith(UNKNOWN) and label in labels
    }
    return Answered(answers.take(np.arange(len(known.labels))), known.labels, kinds)


def _answered(
    classifier: Classifier,
    settings: TrainingSettings,
    learned_from: tuple[Tensor, Tensor],
    images: Images,
    unknown: dict[str, Images],
) -> Answered:
    """`learned_from`: (N, features) and (N,) labels of the training photos."""
    judge = Judge(classifier.head, classifier.softmax if settings.epochs else None, settings, learned_from)
    known, *kinds = (
        judge.answers(features(classifier, settings.input, some.pixels)) for some in (images, *unknown.values())
    )
    return Answered(known, images.labels, dict(zip(unknown, kinds, strict=True)))


@torch.no_grad()
def _log_scores(classifier: Classifier, settings: TrainingSettings, images: Images) -> Tensor:
    """(N, classes)"""
    log_scores: Tensor = classifier.head(features(classifier, settings.input, images.pixels))
    return log_scores


def _validation(
    classifier: Classifier,
    settings: TrainingSettings,
    log_scores: Tensor,
    of_photos: NDArray[np.int64],
    epochs: list[Epoch],
) -> dict[str, Any]:
    """How the training went, with a sentence for each known way to fail. `log_scores` (N, classes) and labels (N,) `of_photos`."""
    labels = torch.from_numpy(of_photos)
    loss, accuracy = assess(classifier.head, log_scores, labels, settings)
    failed = _failures(classifier, settings, log_scores, labels)
    for failure in failed:
        print(f"train: {failure}", file=sys.stderr)
    return {
        "epochs": len(epochs),
        "kept_epoch": kept(epochs, settings),
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "training_s": sum(epoch.seconds for epoch in epochs),
        "failures": failed,
    }


def _failures(classifier: Classifier, settings: TrainingSettings, log_scores: Tensor, labels: Tensor) -> list[str]:
    """`log_scores` (N, classes) and `labels` (N,): of the validation images."""
    if not settings.RBF_flag:
        return []
    spec = settings.input
    with torch.no_grad():
        images = noise(spec.channels, spec.height, spec.width)
        of_noise = classifier.head(features(classifier, spec, images.numpy()))
    return failures(log_scores, labels, of_noise, settings.classes, is_trained=settings.epochs > 0)


def _test(settings: TrainingSettings, tested: Answered, folder: Path) -> dict[str, Any]:
    """Figures of photos that nothing which judges them was trained with."""
    scores, labels, classes, good = tested.known.scores, tested.labels, settings.classes, settings.pass_class
    of_unknown = {name: answers.scores for name, answers in tested.unknown.items()}
    comparison = compare(
        tested.known.certainty,
        scores.argmax(1) == labels,
        {name: answers.certainty for name, answers in tested.unknown.items()},
    )
    summary = summarise(scores, labels, classes, good, of_unknown)
    plot_certainty(folder / "certainty.png", scores, labels, of_unknown)
    results = {"test": summary, "certainty": comparison}
    softmax = tested.known.softmax
    if softmax is not None:
        by_kind = {name: answers.softmax for name, answers in tested.unknown.items() if answers.softmax is not None}
        results["test_softmax"] = summarise(softmax, labels, classes, good, by_kind)
    if "Terminal" in settings.PFM_flag:
        console().print(tables(summary), comparison_table(comparison))
        if softmax is not None:
            console().print("The same, from the softmax that trained the network:", tables(results["test_softmax"]))
    return results
