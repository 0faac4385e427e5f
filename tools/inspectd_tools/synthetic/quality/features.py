"""The feature space in which images are compared: a network with weights from a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inspectd.errors import ConfigError
from inspectd.terminal import track
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.pretrained import load_backbone, read_weights
from inspectd_tools.networks.torchvision_compat import torchvision
from inspectd_tools.settings import load_settings

Network = Literal["MobileNetV2", "InceptionV3"]
NETWORKS: tuple[Network, ...] = get_args(Network)
_BATCH = 32
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FeatureSpace:
    """(N, 1 or 3, H, W) uint8, grey or RGB -> (N, features) float64."""

    def __init__(self, network: Network, weights: Path | None) -> None:
        """`weights`: file of the network's weights; None: torchvision's own. Raises ConfigError."""
        self._network, self._side_px, self._mean, self._std = _OPEN[network](weights)
        self._network.eval().requires_grad_(False)
        self.name = f"{network} ({weights.name if weights else 'torchvision'}), shown {self._side_px} px"

    def __call__(self, pixels: NDArray[np.uint8], what: str = "features") -> NDArray[np.float64]:
        batches = torch.from_numpy(pixels).split(_BATCH)
        with torch.no_grad():
            found = [self._network(self._to_network(batch)) for batch in track(batches, description=what)]
        return torch.cat(found).double().numpy()

    def _to_network(self, pixels: Tensor) -> Tensor:
        images = functional.interpolate(
            pixels.float() / 255, (self._side_px, self._side_px), mode="bilinear", antialias=True
        ).expand(-1, 3, -1, -1)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self._mean, self._std))
        return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


_Opened = tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]


def _mobilenet_v2(weights: Path | None) -> _Opened:
    """1280 features: the average over the last map."""
    changes = ['classes=["a","b"]', "pass_class=a", "RBF_flag=false", "input.channels=3"]
    changes += [f"input.mean={list(_IMAGENET_MEAN)}", f"input.std={list(_IMAGENET_STD)}"]
    settings = load_settings("default", changes)
    classifier = Classifier(settings)
    if missing := load_backbone(classifier, settings, weights).missing:
        raise ConfigError(f"{weights}: lacks {len(missing)} of MobileNetV2's weights, such as {missing[0]}")
    return nn.Sequential(classifier.backbone, classifier.pool), 224, _IMAGENET_MEAN, _IMAGENET_STD


def _inception_v3(weights: Path | None) -> _Opened:
    """2048 features, the average over the last map. torchvision's weights, so figures differ from papers', which use TensorFlow's."""
    if weights is None:
        raise ConfigError("--network InceptionV3: give torchvision's file of its weights as --weights")
    network = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=False)
    try:
        network.load_state_dict(read_weights(weights))
    except RuntimeError as error:
        raise ConfigError(
            f"{weights}: does not fit torchvision's inception_v3: {' '.join(str(error).split())[:160]}"
        ) from error
    network.fc = nn.Identity()
    return network, 299, (0.5,) * 3, (0.5,) * 3


_OPEN: dict[Network, Callable[[Path | None], _Opened]] = {"MobileNetV2": _mobilenet_v2, "InceptionV3": _inception_v3}
