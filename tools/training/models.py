"""Classifiers: a torchvision backbone, average pooling and a DUQ head."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from inspectd.errors import ConfigError
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.training.duq import DuqHead, FoldedDuqHead
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.torchvision_import import torchvision


class DuqClassifier(nn.Module):
    """(N, C, H, W) normalised float -> (N, classes) log K_c."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self.backbone, channels = _BACKBONES[experiment.model](experiment.input.channels)
        rows, columns = experiment.pool
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d((rows, columns)), nn.Flatten())
        self.head = DuqHead(
            channels * rows * columns,
            len(experiment.classes),
            experiment.centroid_size,
            experiment.length_scale,
            experiment.gamma,
        )

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, features)"""
        features: Tensor = self.pool(self.backbone(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        log_kernel: Tensor = self.head(self.features(images).float())
        return log_kernel


class ExportedClassifier(nn.Module):
    """What the line runs: (N, C, H, W) uint8 -> (N, classes) K_c, with the normalisation inside."""

    def __init__(self, classifier: DuqClassifier, spec: InputSpec) -> None:
        super().__init__()
        self.backbone, self.pool = classifier.backbone, classifier.pool
        self.head = FoldedDuqHead(classifier.head)
        scale, offset = _normalisation(spec)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.pool(self.backbone(images.float() * self.scale + self.offset)))
        return scores


def normalise(images: Tensor, spec: InputSpec) -> Tensor:
    """(N, C, H, W) uint8 -> float32 as the network wants it."""
    scale, offset = _normalisation(spec)
    return images.float() * scale + offset


def load_backbone(classifier: DuqClassifier, path: Path) -> None:
    """ImageNet weights from a safetensors file with torchvision's keys; a grey stem gets the sum of the RGB one.

    Raises ConfigError naming what does not fit.
    """
    wanted = classifier.backbone.state_dict()
    given = {key.removeprefix("features."): value for key, value in load_file(path).items()}
    for key, value in wanted.items():
        if key in given and given[key].ndim == 4 and given[key].shape[1] == 3 and value.shape[1] == 1:
            given[key] = given[key].sum(dim=1, keepdim=True)
    missing = [key for key, value in wanted.items() if key not in given or given[key].shape != value.shape]
    if missing:
        raise ConfigError(f"{path}: does not fit: {len(missing)} of {len(wanted)} weights, such as {missing[0]}")
    classifier.backbone.load_state_dict({key: given[key] for key in wanted})


def _mobilenet_v2(channels: int) -> tuple[nn.Module, int]:
    blocks = torchvision.models.mobilenet_v2().features
    blocks[0][0] = nn.Conv2d(channels, 32, 3, stride=2, padding=1, bias=False)
    return blocks, 1280


def _shufflenet_v2(channels: int) -> tuple[nn.Module, int]:
    net = torchvision.models.shufflenet_v2_x1_0()
    net.conv1[0] = nn.Conv2d(channels, 24, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(net.conv1, net.maxpool, net.stage2, net.stage3, net.stage4, net.conv5), 1024


_BACKBONES = {"MobileNetV2": _mobilenet_v2, "ShuffleNetV2": _shufflenet_v2}


def _normalisation(spec: InputSpec) -> tuple[Tensor, Tensor]:
    """(1, C, 1, 1) each: x * scale + offset = (x / 255 - mean) / std"""
    mean = torch.tensor(spec.mean).view(1, -1, 1, 1)
    std = torch.tensor(spec.std).view(1, -1, 1, 1)
    return 1 / (255 * std), -mean / std
