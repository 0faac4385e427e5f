"""The training loop: epochs, validation, the best weights. An interrupted run can be resumed and gives the same weights."""

import copy
import csv
import json
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from inspectd.errors import InspectdError
from inspectd.files.atomic_write import atomic_write
from inspectd.terminal import progress_bar, text_column
from inspectd_tools.data.images import Images
from inspectd_tools.device import ahead, on_cpu, sent
from inspectd_tools.distributed import is_first, synchronise_batch_norm, wait
from inspectd_tools.networks.classifier import Classifier, SoftmaxHead
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.networks.predict import features
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.batches import Batches
from inspectd_tools.training.optimizer import learning_rate, optimizer_of
from inspectd_tools.training.step import losses, training_step

WEIGHTS = "weights.safetensors"
_BEST = "best.safetensors"
_LAST = "last.pt"


class TrainingError(InspectdError):
    """The training diverged."""


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    images_per_s: float
    seconds: float
    replaced: bool
    """Whether the weights went back to the best ones after this epoch."""


def train(
    classifier: Classifier, settings: TrainingSettings, train_set: Images, validation_set: Images, run: Path
) -> list[Epoch]:
    """Train in place, where the backbone is. `classifier` then has the weights of the epoch that `kept` names; its head is on the
    CPU and not fitted yet.

    `run/epochs.json` and `.csv` record the epochs; an interrupted run continues from `run/last.pt`. Everything random depends
    only on the seed and the epoch, so the same data and machine give the same weights, resumed or not. A run that began on one
    device may go on on another. Raises TrainingError.
    """
    if not settings.epochs:
        return []
    device = classifier.device
    classifier.to(device)
    synchronise_batch_norm(classifier)
    optimizer = optimizer_of(classifier, settings)
    epochs = _resume(classifier, optimizer, run)
    batches = Batches(train_set, settings)
    weights = _class_weights(train_set, len(settings.classes), settings.class_balance == "weights").to(device)
    with progress_bar(text_column("{task.fields[note]}")) as progress:
        task = progress.add_task(
            "train", total=settings.epochs * len(batches), completed=len(epochs) * len(batches), note=""
        )
        while len(epochs) < settings.epochs and not _is_over(epochs, settings):
            number = len(epochs) + 1
            torch.manual_seed(settings.seed * 1_000_003 + number)
            start_s = time.monotonic()
            found = []
            for place, (images, labels) in enumerate(ahead(batches.of_epoch(number), device)):
                _set_rate(optimizer, learning_rate(settings, (number - 1 + place / len(batches)) / settings.epochs))
                inputs = to_network(sent(images, device), settings.input)
                found.append(training_step(classifier, settings, optimizer, inputs, sent(labels, device), weights))
                progress.advance(task)
            train_loss = float(torch.stack(found).double().mean())  # waits for a GPU
            seconds = time.monotonic() - start_s
            loss, accuracy = _validate(classifier, settings, validation_set)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"epoch {number}: the loss is not a number any more; lower lr, which is {settings.lr}"
                )
            is_best = loss < min((epoch.validation_loss for epoch in epochs), default=float("inf"))
            if is_best and is_first():
                save_weights(classifier, run / _BEST)
            replaced = not is_best and _is_astray(epochs, settings)
            if replaced:
                classifier.load_state_dict(load_file(run / _BEST))
            speed = len(batches) * settings.batch_size / seconds
            epochs.append(Epoch(number, train_loss, loss, accuracy, speed, seconds, replaced))
            if is_first():
                _save_last(classifier, optimizer, epochs, run)
            wait()
            progress.update(task, note=f"epoch {number}: loss {loss:.4f}, accuracy {accuracy:.4f}")
    if epochs and settings.keep == "best":
        classifier.load_state_dict(load_file(run / _BEST))
    for head in (classifier.head, classifier.softmax):
        if head is not None:
            head.cpu()
    return epochs


def kept(epochs: list[Epoch], settings: TrainingSettings) -> int:
    """The number of the epoch whose weights the run keeps; 0: no epoch was trained."""
    return len(epochs) if settings.keep == "last" else _best_number(epochs)


def fit_head(head: DuqHead | SoftmaxHead, settings: TrainingSettings, features: Tensor, images: Images) -> None:
    """Fit the head to the features (N, features) of the training images, if the settings say so."""
    labels = torch.from_numpy(images.labels)
    if isinstance(head, DuqHead):
        if settings.head_fit == "means":
            head.fit_means(features, labels)
        elif settings.head_fit == "covariance":
            head.fit_covariance(features, labels)
    elif settings.epochs == 0:
        weights = _class_weights(images, len(settings.classes), settings.class_balance != "none")
        head.fit(features, labels, weights)


def assess(
    head: DuqHead | SoftmaxHead, log_scores: Tensor, labels: Tensor, settings: TrainingSettings
) -> tuple[float, float]:
    """Mean loss and accuracy of a head that gives images with `labels` (N,) these `log_scores` (N, classes)."""
    one_hot = functional.one_hot(labels, len(settings.classes)).float()
    loss = losses(head, log_scores, one_hot, settings).mean()
    return float(loss), float((log_scores.argmax(1) == labels).float().mean())


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a safetensors file. An old file stays complete until the new one is. Raises OSError."""
    tensors = {
        key: value.clone(memory_format=torch.contiguous_format) for key, value in on_cpu(network.state_dict()).items()
    }
    with atomic_write(path, flush=True) as unfinished:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        save_file(tensors, unfinished)
        unfinished.chmod(mode)  # safetensors lets nobody else read its file


@torch.no_grad()
def _validate(classifier: Classifier, settings: TrainingSettings, images: Images) -> tuple[float, float]:
    head = copy.deepcopy(classifier.trained_head).cpu()
    log_scores = head(features(classifier, settings.input, images.pixels))
    return assess(head, log_scores, torch.from_numpy(images.labels), settings)


def _best_number(epochs: list[Epoch]) -> int:
    return min(epochs, key=lambda epoch: epoch.validation_loss).number if epochs else 0


def _is_over(epochs: list[Epoch], settings: TrainingSettings) -> bool:
    return 0 < settings.early_limit <= len(epochs) - _best_number(epochs)


def _is_astray(epochs: list[Epoch], settings: TrainingSettings) -> bool:
    """Whether this epoch is number `replacement_limit` since the best one, or since the weights last went back to it."""
    since = max([_best_number(epochs), *(epoch.number for epoch in epochs if epoch.replaced)])
    return 0 < settings.replacement_limit <= len(epochs) + 1 - since


def _class_weights(images: Images, class_count: int, balanced: bool) -> Tensor:
    """(classes,): the weight of each class; the mean over the images is 1."""
    if not balanced:
        return torch.ones(class_count)
    counts = np.bincount(images.labels, minlength=class_count)
    return torch.from_numpy(len(images.labels) / (len(counts) * np.maximum(counts, 1))).float()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _save_last(classifier: Classifier, optimizer: torch.optim.Optimizer, epochs: list[Epoch], run: Path) -> None:
    rows: list[dict[str, Any]] = [asdict(epoch) for epoch in epochs]
    (run / "epochs.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    with (run / "epochs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(rows)
    state = {"classifier": classifier.state_dict(), "optimizer": optimizer.state_dict(), "epochs": rows}
    with atomic_write(run / _LAST, flush=True) as unfinished:
        torch.save(on_cpu(state), unfinished)


def _resume(classifier: Classifier, optimizer: torch.optim.Optimizer, run: Path) -> list[Epoch]:
    if not (run / _LAST).exists():
        return []
    state = torch.load(run / _LAST, map_location="cpu", weights_only=True)
    classifier.load_state_dict(state["classifier"])
    optimizer.load_state_dict(state["optimizer"])
    return [Epoch(**row) for row in state["epochs"]]
