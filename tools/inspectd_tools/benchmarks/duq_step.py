"""Compare the DUQ step of tools/train.py with the baseline: same network, same batches, in turns, on FashionMNIST."""

import time
from dataclasses import dataclass

import torch

from inspectd.terminal import track
from inspectd_tools.benchmarks.duq_baseline import Baseline, baseline_step
from inspectd_tools.data.published import load_sets
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.inputs import normalise, to_network
from inspectd_tools.networks.predict import BATCH, classifier_network, predict
from inspectd_tools.networks.runtimes import torch_network
from inspectd_tools.settings import load_settings
from inspectd_tools.training.batches import Batches
from inspectd_tools.training.optimizer import optimizer_of
from inspectd_tools.training.step import training_step


@dataclass(frozen=True, slots=True)
class Speed:
    baseline_images_per_s: float
    images_per_s: float
    baseline_accuracy: float
    accuracy: float
    """Both accuracies are on the validation images, after the same batches."""


def compare_steps(images: int, epochs: int) -> Speed:
    """Train both on the first `images` of FashionMNIST. Raises ConfigError without the data set."""
    settings = load_settings("duq-fashionmnist", [f"epochs={epochs}", f"epoch_images={images}", "validation_share=0.1"])
    sets = load_sets(settings, None)
    batches = Batches(sets.train, settings)
    torch.manual_seed(settings.seed)
    ours = Classifier(settings)
    theirs = Baseline(len(settings.classes), settings.length_scale, settings.gamma)
    plain = torch.optim.SGD(theirs.parameters(), settings.lr, momentum=0.9, weight_decay=settings.weight_decay)
    optimizers = optimizer_of(ours, settings), plain
    weights = torch.ones(len(settings.classes))
    penalty = settings.gp_const or 0.0
    seconds = [0.0, 0.0]
    for number in range(1, epochs + 1):
        for pixels, labels in track(batches.of_epoch(number), f"epoch {number}", total=len(batches)):
            t0 = time.monotonic()
            training_step(ours, settings, optimizers[0], to_network(pixels, settings.input), labels, weights)
            t1 = time.monotonic()
            baseline_step(theirs, optimizers[1], normalise(pixels, settings.input), labels, penalty)
            seconds[0] += t1 - t0
            seconds[1] += time.monotonic() - t1
    seen = epochs * len(batches) * settings.batch_size
    networks = (
        torch_network(lambda batch: theirs(normalise(batch, settings.input))),
        classifier_network(ours, settings.input),
    )
    theirs_right, ours_right = (
        float((predict(network, sets.validation.pixels, batch=BATCH).argmax(1) == sets.validation.labels).mean())
        for network in networks
    )
    return Speed(seen / seconds[1], seen / seconds[0], theirs_right, ours_right)
