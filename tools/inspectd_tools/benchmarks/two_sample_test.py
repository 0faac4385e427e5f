"""Can a classifier distinguish composed photos from others? If not, seams and filled holes are not visible."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inspectd.errors import ConfigError
from inspectd.terminal import track
from inspectd_tools.networks.pretrained import read_weights
from inspectd_tools.networks.torchvision_compat import torchvision

_FOLDS = 5
_STAGES = (2, 4, 7, 14, 19)
"""Last layers of the stages of MobileNetV2: the first stages see texture, the last see layout."""


def classified_correctly(
    composed: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]], weights: Path
) -> tuple[int, int]:
    """How many of all photos, each (h, w), a classifier recognises as composed or not, and the number of all photos.

    Five-fold cross-validation: each fifth is classified after training on the other four.

    Logistic regression on mean and standard deviation of every channel of every stage of a MobileNetV2 (`weights`:
    torchvision's `features.*`, safetensors), at full resolution. Raises ConfigError.
    """
    features = _features([*composed, *others], weights)
    labels = torch.cat([torch.ones(len(composed)), torch.zeros(len(others))])
    order = np.random.default_rng(0).permutation(len(labels))
    right = 0
    for fold in range(_FOLDS):
        test = torch.from_numpy(order[fold::_FOLDS])
        train = torch.from_numpy(np.setdiff1d(order, order[fold::_FOLDS]))
        right += _right(features[train], labels[train], features[test], labels[test])
    return right, len(labels)


@torch.no_grad()
def _features(photos: Sequence[NDArray[np.uint8]], weights: Path) -> Tensor:
    net = torchvision.models.mobilenet_v2(weights=None).features.eval()
    try:
        state = {key.removeprefix("features."): value for key, value in read_weights(weights).items()}
        net.load_state_dict({key: value for key, value in state.items() if not key.startswith("classifier")})
    except RuntimeError as error:
        raise ConfigError(f"{weights}: has no weights for the features of MobileNetV2: {error}") from error
    rows = []
    for photo in track(photos, "features"):
        values = torch.from_numpy(photo).float()[None, None].expand(1, 3, -1, -1) / 255
        values = (values - 0.45) / 0.225
        row = []
        for number, layer in enumerate(net, start=1):
            values = layer(values)
            if number in _STAGES:
                row += [values.mean((2, 3))[0], values.std((2, 3))[0]]
        rows.append(torch.cat(row))
    return torch.stack(rows)


def _right(features: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor) -> int:
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    features, test = (features - mean) / deviation, (test - mean) / deviation
    probe = nn.Linear(features.shape[1], 1)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.binary_cross_entropy_with_logits(probe(features)[:, 0], labels)
        value = value + 1e-2 * (probe.weight**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return int(((probe(test)[:, 0] > 0) == (test_labels > 0.5)).sum())
