"""From photos to scores: every tool that lets a network judge photos does it here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd.errors import EngineError, InferenceError
from inspectd.inference.preprocess import InputSpec
from inspectd.terminal import track
from inspectd_tools.device import sent
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.inputs import to_network

Network: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, C, H, W) uint8 -> (N, K) scores. On the runtimes of an engine N is 1."""

BATCH = 64
"""Photos that a classifier in PyTorch gets at once."""


def predict(
    network: Network, pixels: NDArray[np.uint8], what: str | None = None, *, batch: int = 1, files: Sequence[Path] = ()
) -> NDArray[np.float32]:
    """(N, C, H, W) uint8 -> (N, K) scores, `batch` photos at once.

    `what` describes a progress bar; None: there is no bar. `files` name the photos in errors.
    Raises EngineError naming the file where the network refuses a photo, InferenceError where no files are given.
    """
    starts = range(0, len(pixels), batch)
    scores = []
    for start in starts if what is None else track(starts, what):
        try:
            scores.append(network(pixels[start : start + batch]))
        except InferenceError as error:
            if not files:
                raise
            raise EngineError(f"{files[start]}: {error}") from error
    return np.concatenate(scores)


def classifier_network(classifier: Classifier, spec: InputSpec) -> Network:
    """A classifier in PyTorch, in evaluation mode, with K_c or the softmax as scores."""
    classifier.eval()

    @torch.inference_mode()
    def infer(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        images = to_network(sent(torch.from_numpy(batch), classifier.device), spec)
        scores: NDArray[np.float32] = classifier(images).exp().cpu().numpy()
        return scores

    return infer


@torch.no_grad()
def features(classifier: Classifier, spec: InputSpec, pixels: NDArray[np.uint8]) -> Tensor:
    """(N, C, H, W) uint8 -> (N, features) of the backbone on the CPU, in evaluation mode and full precision."""
    classifier.eval()
    batches = torch.from_numpy(pixels).split(BATCH)
    device = classifier.device
    return torch.cat([classifier.features(to_network(sent(batch, device), spec)) for batch in batches]).cpu()
