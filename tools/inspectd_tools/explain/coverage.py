"""Which method works on which network, how long it takes and whether it adds up: tried, not believed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspectd.errors import ConfigError
from inspectd_tools.explain.methods import METHODS, gap
from inspectd_tools.explain.network import Network, Target
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.pretrained import TORCHVISION_NAMES
from inspectd_tools.settings import load_settings

TARGETS: tuple[Target, ...] = get_args(Target)
_CLASSES = '["a", "b", "c", "d"]'
_SETTLE = 4
_BLOBS = 8
_OPEN = 2.0
"""Standard deviations by which rectifiers are open. Deep random networks are chaotic otherwise (Balduzzi et al., "The shattered
gradients problem", 2017), which trained ones are not, and no number of steps integrates their gradients."""


@dataclass(frozen=True, slots=True)
class Trial:
    model: str
    head: str
    target: Target
    method: str
    seconds: float
    """Per image."""
    largest_gap: float | None
    """Of the sums, as a share; None for methods that need not add up."""
    refused: str
    """Why the method does not apply; '' where it does."""


def trials(count: int, side_px: int) -> Iterator[Trial]:
    """All backbones with both heads, both targets and every method, on `count` smooth images of noise; weights are random."""
    for model in TORCHVISION_NAMES:
        for head in ("softmax", "DUQ"):
            classifier = random_classifier(model, head == "DUQ", side_px)
            images = blobs(count, side_px, seed=1)
            for target in TARGETS:
                network = Network(classifier, target)
                with torch.no_grad():
                    classes = network(images).argmax(1)
                for method in METHODS:
                    yield _trial(model, head, target, method, network, images, classes)


def random_classifier(model: str, is_duq: bool, side_px: int) -> Classifier:
    """Of four classes; its batch normalisation has seen images, without which deep random networks give next to nothing."""
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
    """(count, 3, side, side) normalised noise, as smooth as photos are."""
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
