"""One training run of a DUQ classifier on the CPU or a GPU: epochs, validation, the best weights."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from inspectd_tools.training.augment import production_variation
from inspectd_tools.training.data import Images
from inspectd_tools.training.duq import duq_loss, gradient_penalty
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.models import DuqClassifier, normalise

CHECKPOINT = "best.safetensors"
_EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


def train(
    classifier: DuqClassifier, experiment: Experiment, train_set: Images, validation_set: Images, run: Path
) -> None:
    """Train in place; the best weights by validation loss go to `run/best.safetensors`, the epochs to `run/epochs.json`.

    `classifier` ends with the best weights. Seeded: the same data and machine give the same weights.
    """
    generator = torch.Generator().manual_seed(experiment.seed)
    optimizer = _optimizer(classifier, experiment)
    steps = experiment.epochs * (len(train_set.labels) // experiment.batch_size)
    scheduler = _scheduler(optimizer, experiment, steps)
    epochs: list[Epoch] = []
    best, best_epoch = float("inf"), 0
    with _progress() as progress:
        task = progress.add_task("train", total=steps, note="")
        for number in range(1, experiment.epochs + 1):
            start_s = time.monotonic()
            losses = []
            for batch in _batches(train_set, experiment, generator):
                losses.append(_step(classifier, experiment, optimizer, *batch, generator))
                scheduler.step()
                progress.advance(task)
            loss, accuracy = _validate(classifier, experiment, validation_set)
            epochs.append(Epoch(number, float(np.mean(losses)), loss, accuracy, time.monotonic() - start_s))
            (run / "epochs.json").write_text(json.dumps([asdict(epoch) for epoch in epochs], indent=2))
            progress.update(task, note=f"epoch {number}: loss {loss:.4f}, accuracy {accuracy:.4f}")
            if loss < best:
                best, best_epoch = loss, number
                _save(classifier, run)
            if experiment.early_limit and number - best_epoch >= experiment.early_limit:
                break
    classifier.load_state_dict(load_file(run / CHECKPOINT))
    if experiment.head_fit == "covariance":
        features = all_features(classifier, experiment, train_set)
        classifier.head.fit_covariance(features, torch.from_numpy(train_set.labels))
        _save(classifier, run)


@torch.no_grad()
def all_features(classifier: DuqClassifier, experiment: Experiment, images: Images) -> Tensor:
    """(N, features) of a whole set, in evaluation mode and full precision."""
    classifier.eval()
    pixels = torch.from_numpy(images.pixels).split(_EVALUATION_BATCH)
    return torch.cat([classifier.features(_to_network(batch, experiment)) for batch in pixels])


@torch.no_grad()
def all_scores(classifier: DuqClassifier, experiment: Experiment, images: Images) -> Tensor:
    """(N, classes): K_c of a whole set."""
    log_kernel: Tensor = classifier.head(all_features(classifier, experiment, images))
    return log_kernel.exp()


def _step(
    classifier: DuqClassifier,
    experiment: Experiment,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> float:
    """One optimiser step, then the centroids' moving average on the same batch in evaluation mode."""
    if experiment.augmentation == "production":
        images = production_variation(images, generator)
    inputs = _to_network(images, experiment)
    one_hot = functional.one_hot(labels, len(experiment.classes)).float()
    classifier.train()
    inputs.requires_grad_(experiment.gp_const is not None)
    with torch.autocast("cpu", torch.bfloat16, enabled=experiment.gp_const is None):
        features = classifier.features(inputs)
    log_kernel = classifier.head(features.float())
    loss = duq_loss(log_kernel, one_hot)
    if experiment.gp_const is not None:
        loss = loss + experiment.gp_const * gradient_penalty(log_kernel, inputs)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    classifier.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = classifier.features(inputs.detach())
    classifier.head.update_centroids(features.float(), one_hot)
    return float(loss.detach())


def _save(classifier: DuqClassifier, run: Path) -> None:
    save_file({key: value.contiguous() for key, value in classifier.state_dict().items()}, run / CHECKPOINT)


def _validate(classifier: DuqClassifier, experiment: Experiment, images: Images) -> tuple[float, float]:
    scores = all_scores(classifier, experiment, images)
    labels = torch.from_numpy(images.labels)
    one_hot = functional.one_hot(labels, len(experiment.classes)).float()
    loss = functional.binary_cross_entropy(scores.clamp(1e-7, 1 - 1e-7), one_hot)
    return float(loss), float((scores.argmax(1) == labels).float().mean())


def _batches(images: Images, experiment: Experiment, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Whole batches in random order; the rest of an epoch is left to the next one's shuffle."""
    if experiment.class_balance == "sampling":
        labels = torch.from_numpy(images.labels)
        weights = 1 / torch.bincount(labels)[labels]
        order = torch.multinomial(weights, len(labels), replacement=True, generator=generator)
    else:
        order = torch.randperm(len(images.labels), generator=generator)
    size = experiment.batch_size
    places = [order[start : start + size].numpy() for start in range(0, len(order) - size + 1, size)]
    return [(torch.from_numpy(images.pixels[place]), torch.from_numpy(images.labels[place])) for place in places]


def _to_network(images: Tensor, experiment: Experiment) -> Tensor:
    return normalise(images, experiment.input).contiguous(memory_format=torch.channels_last)


def _optimizer(classifier: DuqClassifier, experiment: Experiment) -> torch.optim.Optimizer:
    if experiment.optimizer == "AdamW":
        return torch.optim.AdamW(classifier.parameters(), experiment.lr, weight_decay=experiment.weight_decay)
    return torch.optim.SGD(
        classifier.parameters(), experiment.lr, momentum=0.9, nesterov=True, weight_decay=experiment.weight_decay
    )


def _scheduler(
    optimizer: torch.optim.Optimizer, experiment: Experiment, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Stepped once per batch."""
    if experiment.scheduler == "cosine":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, experiment.lr, total_steps=max(steps, 8), pct_start=0.15)
    milestones = [epoch * steps // experiment.epochs for epoch in experiment.milestones]
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.2)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
