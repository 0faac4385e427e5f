"""Cross-validation: few photos are all used to train and to judge, and no photo is judged by a network that learned from its part.

The parts are dealt into folds. For each fold, a network learns from the parts of the other folds and judges the parts of this
one. Unknown photos are dealt too, but nothing learns from them. The network of the engine learns from all parts afterwards.
"""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd.terminal import track
from inspectd_tools.data.images import Images
from inspectd_tools.data.manifest import DataManifest
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.predict import features
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.answers import Answers, Judge, joined
from inspectd_tools.training.folds import deal, known, unknown_in_val
from inspectd_tools.training.loop import fit_head, train
from inspectd_tools.training.out_of_fold import OutOfFold


def without_choice(settings: TrainingSettings) -> TrainingSettings:
    """The same training, but no photo chooses its last epoch: the photos of the fold would, and then they would not be new."""
    return settings.model_copy(update={"keep": "last", "early_limit": 0, "replacement_limit": 0})


def cross_validate(
    new: Callable[[], Classifier],
    settings: TrainingSettings,
    manifest: DataManifest,
    images: Images,
    count: int,
    run: Path,
) -> tuple[OutOfFold, Answers]:
    """Judge the `images` in `count` folds, each by a network that did not learn from its part.

    `images`: those of `known` and then of `unknown_in_val`. `new` makes a classifier as training begins with it. If the network
    is trained, each fold is a training of its own in `run/fold-<n>`, which can be resumed. Raises ConfigError naming a class of
    which all photos show one part.
    """
    photos = (*known(manifest), *unknown_in_val(manifest))
    fold = deal(images.labels.tolist(), [photo.group for photo in photos], count, settings.seed)
    is_known = images.labels < len(manifest.classes)
    for label, name in enumerate(manifest.classes):
        if len(set(fold[images.labels == label])) < 2:
            raise ConfigError(f"class {name}: all its photos show one part; cross-validation needs two parts or more")
    learned = [np.flatnonzero(is_known & (fold != number)) for number in range(count)]
    judged = [np.flatnonzero(fold == number) for number in range(count)]
    answer = _by_fitted_heads if settings.epochs == 0 else _by_trained_networks
    answers = joined(list(answer(new, settings, images, learned, judged, run)))
    answers = answers.take(np.argsort(np.concatenate(judged)))
    return OutOfFold(DataManifest(manifest.names, photos), fold, answers.scores.astype(np.float32)), answers


Places = list[NDArray[np.int64]]
"""For each fold, indices of images."""


def _by_fitted_heads(
    new: Callable[[], Classifier],
    settings: TrainingSettings,
    images: Images,
    learned: Places,
    judged: Places,
    run: Path,
) -> Iterator[Answers]:
    """The folds share the backbone, which learns nothing."""
    classifier = new()
    values, labels = features(classifier, settings.input, images.pixels), torch.from_numpy(images.labels)
    for learns, judges in track(list(zip(learned, judged, strict=True)), "cross-validate"):
        head = copy.deepcopy(classifier.head)
        fit_head(head, settings, values[learns], images.take(learns))
        yield Judge(head, None, settings, (values[learns], labels[learns])).answers(values[judges])


def _by_trained_networks(
    new: Callable[[], Classifier],
    settings: TrainingSettings,
    images: Images,
    learned: Places,
    judged: Places,
    run: Path,
) -> Iterator[Answers]:
    start_s = time.monotonic()
    for number, (learns, judges) in enumerate(zip(learned, judged, strict=True)):
        folder, own, classifier = run / f"fold-{number}", images.take(learns), new()
        folder.mkdir(parents=True, exist_ok=True)
        train(classifier, settings, own, images.take(judges[images.labels[judges] < len(settings.classes)]), folder)
        values = features(classifier, settings.input, own.pixels)
        fit_head(classifier.head, settings, values, own)
        judge = Judge(classifier.head, classifier.softmax, settings, (values, torch.from_numpy(own.labels)))
        yield judge.answers(features(classifier, settings.input, images.take(judges).pixels))
        minutes = (time.monotonic() - start_s) / (number + 1) * (len(learned) - number) / 60
        print(f"fold {number + 1} of {len(learned)} is done; about {minutes:.0f} minutes more, with the last training")
