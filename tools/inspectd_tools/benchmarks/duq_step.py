"""Compare the DUQ step of tools/train.py with the baseline: same network, same batches, in turns, on FashionMNIST."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch

from inspectd.terminal import track
from inspectd_tools.benchmarks.duq_baseline import Baseline, baseline_step
from inspectd_tools.data.published import load_sets
from inspectd_tools.device import CPU, sent
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.inputs import normalise, to_network
from inspectd_tools.networks.predict import BATCH, classifier_network, predict
from inspectd_tools.networks.runtimes import torch_network
from inspectd_tools.settings import load_settings
from inspectd_tools.training.batches import Batches
from inspectd_tools.training.optimizer import optimizer_of
from inspectd_tools.training.step import training_step

T = TypeVar("T")

_IN_TURN = 10
"""Batches of one, then the same of the other: a GPU is waited for after so many."""


@dataclass(frozen=True, slots=True)
class Speed:
    baseline_images_per_s: float
    images_per_s: float
    baseline_accuracy: float
    accuracy: float
    """Both accuracies are on the validation images, after the same batches."""


def compare_steps(images: int, epochs: int, device: torch.device = CPU, data: Path | None = None) -> Speed:
    """Train both on the first `images` of FashionMNIST, in the folder `data` if it is not in its usual place.

    Raises ConfigError without the data set.
    """
    changes = [f"epochs={epochs}", f"epoch_images={images}", "validation_share=0.1", "scheduler=none"]
    settings = load_settings("duq-fashionmnist", changes)
    sets = load_sets(settings, data)
    batches = Batches(sets.train, settings)
    torch.manual_seed(settings.seed)
    ours = Classifier(settings).to(device)
    theirs = Baseline(len(settings.classes), settings.length_scale, settings.gamma).to(device)
    plain = torch.optim.SGD(theirs.parameters(), settings.lr, momentum=0.9, weight_decay=settings.weight_decay)
    optimizers = optimizer_of(ours, settings), plain
    weights = torch.ones(len(settings.classes), device=device)
    penalty = settings.gp_const or 0.0
    seconds = [0.0, 0.0]
    for number in range(1, epochs + 1):
        for several in batched(track(batches.of_epoch(number), f"epoch {number}", total=len(batches)), _IN_TURN):
            t0 = now_s(device)
            for pixels, labels in several:
                inputs = to_network(sent(pixels, device), settings.input)
                training_step(ours, settings, optimizers[0], inputs, sent(labels, device), weights)
            t1 = now_s(device)
            for pixels, labels in several:
                inputs = normalise(sent(pixels, device), settings.input)
                baseline_step(theirs, optimizers[1], inputs, sent(labels, device), penalty)
            seconds[0] += t1 - t0
            seconds[1] += now_s(device) - t1
    seen = epochs * len(batches) * settings.batch_size
    networks = (
        torch_network(lambda batch: theirs(normalise(batch.to(device), settings.input)).cpu()),
        classifier_network(ours, settings.input),
    )
    theirs_right, ours_right = (
        float((predict(network, sets.validation.pixels, batch=BATCH).argmax(1) == sets.validation.labels).mean())
        for network in networks
    )
    return Speed(seen / seconds[1], seen / seconds[0], theirs_right, ours_right)


def batched(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """Lists of `count` items; the last one may be shorter."""
    rest = iter(items)
    while several := list(islice(rest, count)):
        yield several


def now_s(device: torch.device) -> float:
    """Monotonic seconds, once the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()
