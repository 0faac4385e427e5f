"""Classifiers: a backbone, average pooling and a head, which is DUQ or softmax. Scores are computed as logarithms."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspectd_tools.networks.double_backward import differentiate_twice
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.networks.torchvision_compat import torchvision
from inspectd_tools.settings import TrainingSettings

_SMALL_PX = 32
_FIT_STEPS = 100
_FIT_DECAY = 1e-3


class Classifier(nn.Module):
    """(N, C, H, W) normalised float -> (N, classes) log scores: log K_c of DUQ, or log softmax."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        spec = settings.input
        stride = 1 if max(spec.width, spec.height) <= _SMALL_PX else 2
        self.backbone, channels = _BACKBONES[settings.model](spec.channels, stride)
        rows, columns = settings.pool
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d((rows, columns)), nn.Flatten())
        feature_size, class_count = channels * rows * columns, len(settings.classes)
        self.head: DuqHead | SoftmaxHead = (
            DuqHead(
                feature_size,
                class_count,
                settings.centroid_size,
                settings.length_scale,
                settings.gamma,
                settings.learn_length_scale,
                settings.duq_start,
            )
            if settings.RBF_flag
            else SoftmaxHead(feature_size, class_count)
        )
        # trains the backbone if the DUQ head is only fitted afterwards
        only_fitted = settings.RBF_flag and not settings.trains_duq
        self.softmax = SoftmaxHead(feature_size, class_count) if only_fitted else None
        if settings.gp_const is not None:
            differentiate_twice(self)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> torch.device:
        """Where the backbone computes."""
        return next(self.backbone.parameters()).device

    @property
    def trained_head(self) -> "DuqHead | SoftmaxHead":
        """The head that gradient descent trains."""
        return self.head if self.softmax is None else self.softmax

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, features)"""
        features: Tensor = self.pool(self.backbone(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        log_scores: Tensor = self.head(self.features(images).float())
        return log_scores


class SoftmaxHead(nn.Module):
    def __init__(self, feature_size: int, class_count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, class_count)

    def forward(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, classes): log of the softmax."""
        return self.linear(features).log_softmax(dim=1)

    @torch.enable_grad()
    def fit(self, features: Tensor, labels: Tensor, class_weights: Tensor) -> None:
        """Logistic regression with features (N, features), labels (N,) and a weight for each class (classes,)."""
        mean, std = features.mean(0), features.std(0) + 1e-6
        linear = nn.Linear(features.shape[1], len(class_weights))
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=_FIT_STEPS, line_search_fn="strong_wolfe")
        inputs = (features - mean) / std

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = functional.cross_entropy(linear(inputs), labels, class_weights)
            loss = loss + _FIT_DECAY * linear.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.linear.weight.copy_(linear.weight / std)
            self.linear.bias.copy_(linear.bias - self.linear.weight @ mean)


def _mobilenet_v2(channels: int, stride: int) -> tuple[nn.Module, int]:
    blocks = torchvision.models.mobilenet_v2().features
    blocks[0][0] = nn.Conv2d(channels, 32, 3, stride=stride, padding=1, bias=False)
    return blocks, 1280


def _efficientnet_b1(channels: int, stride: int) -> tuple[nn.Module, int]:
    blocks = torchvision.models.efficientnet_b1().features
    blocks[0][0] = nn.Conv2d(channels, 32, 3, stride=stride, padding=1, bias=False)
    return blocks, 1280


def _shufflenet_v2(channels: int, stride: int) -> tuple[nn.Module, int]:
    net = torchvision.models.shufflenet_v2_x1_0()
    net.conv1[0] = nn.Conv2d(channels, 24, 3, stride=stride, padding=1, bias=False)
    return _stages(net, "conv1", *(["maxpool"] if stride == 2 else []), "stage2", "stage3", "stage4", "conv5"), 1024


def _resnet18(channels: int, stride: int) -> tuple[nn.Module, int]:
    net = torchvision.models.resnet18()
    size = 7 if stride == 2 else 3
    net.conv1 = nn.Conv2d(channels, 64, size, stride=stride, padding=size // 2, bias=False)
    return _stages(net, "conv1", "bn1", "relu", *(["maxpool"] if stride == 2 else []), *_RESNET_LAYERS), 512


def _duq_cnn(channels: int, stride: int) -> tuple[nn.Module, int]:
    """van Amersfoort et al. 2020, appendix: for 28x28 images. Pooling before ReLU gives the same result with a quarter of the work."""
    widths = ((channels, 64, 1), (64, 128, 1), (128, 128, 0))
    blocks = [
        layer
        for before, after, padding in widths
        for layer in (
            nn.Conv2d(before, after, 3, padding=padding),
            nn.BatchNorm2d(after),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
    ]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Unflatten(1, (256, 1, 1))), 256


def _stages(net: nn.Module, *names: str) -> nn.Module:
    """The named parts of `net` in sequence. They keep torchvision's names, so that its weights fit."""
    return nn.Sequential(OrderedDict((name, getattr(net, name)) for name in names))


_RESNET_LAYERS = ("layer1", "layer2", "layer3", "layer4")
_BACKBONES: dict[str, Callable[[int, int], tuple[nn.Module, int]]] = {
    "MobileNetV2": _mobilenet_v2,
    "ResNet18": _resnet18,
    "ShuffleNetV2": _shufflenet_v2,
    "EfficientNetB1": _efficientnet_b1,
    "DuqCnn": _duq_cnn,
}
