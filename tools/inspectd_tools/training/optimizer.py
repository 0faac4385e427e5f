"""The optimiser, and its learning rate. The rate depends only on the step, so a resumed run needs no stored state for it."""

import math

import torch
from torch import nn

from inspectd_tools.settings import TrainingSettings

_WARM_UP = 0.15
_DECAY = 0.2


def optimizer_of(classifier: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    learned = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    if settings.optimizer == "AdamW":
        return torch.optim.AdamW(learned, settings.lr, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.SGD(
        learned,
        settings.lr,
        momentum=0.9,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def learning_rate(settings: TrainingSettings, progress: float) -> float:
    """The learning rate after the share `progress` (0..1) of all steps."""
    if settings.scheduler == "none":
        return settings.lr
    if settings.scheduler == "MultiStepLR":
        passed = sum(progress * settings.epochs >= milestone for milestone in settings.milestones)
        return settings.lr * _DECAY**passed
    if progress < _WARM_UP:
        return settings.lr * (0.04 + 0.96 * progress / _WARM_UP)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
