"""Try every method on every network: does it work, how long does it take, does it add up?"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from inspectd.errors import ConfigError
from inspectd_tools.device import CPU
from inspectd_tools.explain.methods import METHODS, gap
from inspectd_tools.explain.network import Network, Target
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.pretrained import TORCHVISION_NAMES
from inspectd_tools.settings import load_settings

TARGETS: tuple[Target, ...] = get_args(Target)
_HEADS = ("softmax", "DUQ")
_CLASSES = '["a", "b", "c", "d"]'
_SETTLE = 4
_BLOBS = 8
_OPEN = 2.0
"""Bias of the batch normalisation, in standard deviations, which keeps most rectifiers open. Without it the gradients of a deep
random network are chaotic (Balduzzi et al., "The shattered gradients problem", 2017), and no number of steps integrates
them. Trained networks do not have this problem."""


@dataclass(frozen=True, slots=True)
class Trial:
    model: str
    head: str
    target: Target
    method: str
    seconds: float
    """Per image."""
    largest_gap: float | None
    """Largest error of a sum, as a share; None for methods that do not have to add up."""
    refused: str
    """Why the method does not apply; '' if it does."""


def trials(count: int, side_px: int, device: torch.device = CPU) -> Iterator[Trial]:
    """Try every method on every backbone, head and target, with random weights and `count` smooth noise images."""
    for model in TORCHVISION_NAMES:
        for head in _HEADS:
            classifier = random_classifier(model, head == "DUQ", side_px).to(device)
            images = blobs(count, side_px, seed=1)
            for target in TARGETS:
                network = Network(classifier, target)
                with torch.no_grad():
                    classes = network(images).argmax(1)
                for method in METHODS:
                    yield _trial(model, head, target, method, network, images, classes)


def trial_count() -> int:
    """Number of trials that `trials` yields."""
    return len(TORCHVISION_NAMES) * len(_HEADS) * len(TARGETS) * len(METHODS)


def methods_table(found: Sequence[Trial], title: str) -> Table:
    """ms per image, one row per network and target, one column per method."""
    page = Table(box=SIMPLE_HEAD, title=title, pad_edge=False)
    for column in ("backbone", "head", "target", *METHODS):
        page.add_column(column.replace("_", "_\n"), overflow="fold")
    for model, head, target in dict.fromkeys((trial.model, trial.head, trial.target) for trial in found):
        own = [trial for trial in found if (trial.model, trial.head, trial.target) == (model, head, target)]
        page.add_row(model, head, target, *(_cell(trial) for trial in own))
    return page


def _cell(trial: Trial) -> str:
    if trial.refused:
        return "refused"
    off = "" if trial.largest_gap is None else f"\noff by {trial.largest_gap:.1%}"
    return f"{1000 * trial.seconds:.0f}{off}"


def random_classifier(model: str, is_duq: bool, side_px: int) -> Classifier:
    """A classifier of four classes with random weights.

    Its batch normalisation has seen images: without that the output of a deep random network hardly depends on the image.
    """
    size = (f"input.width={side_px}", f"input.height={side_px}")
    settings = load_settings(
        "photos", [f"classes={_CLASSES}", "pass_class=a", f"model={model}", f"RBF_flag={str(is_duq).lower()}", *size]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(settings).train()
        for module in classifier.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean of what it has seen
                nn.init.constant_(module.bias, _OPEN)
        with torch.no_grad():
            for number in range(_SETTLE):
                classifier(blobs(8, side_px, seed=2 + number))
    return classifier.eval()


def blobs(count: int, side_px: int, seed: int) -> Tensor:
    """(count, 3, side, side) normalised noise, as smooth as photos."""
    coarse = torch.randn(count, 3, _BLOBS, _BLOBS, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, (side_px, side_px), mode="bicubic")


def _trial(
    model: str,
    head: str,
    target: Target,
    method: str,
    network: Network,
    images: Tensor,
    classes: Tensor,
) -> Trial:
    start_s = time.perf_counter()
    try:
        found = METHODS[method].attribute(network, images, classes)
    except ConfigError as error:
        return Trial(model, head, target, method, float("nan"), None, str(error))
    seconds = (time.perf_counter() - start_s) / len(images)
    largest = float(gap(network, images, classes, found).max()) if METHODS[method].adds_up else None
    return Trial(model, head, target, method, seconds, largest, "")
