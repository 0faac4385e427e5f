"""The optimiser, and its learning rate as a function of the step alone, so that a resumed run needs no state for it."""

import math

import torch
from torch import nn

from inspectd_tools.settings import Experiment

_WARM_UP = 0.15
_DECAY = 0.2


def optimizer_of(classifier: nn.Module, experiment: Experiment) -> torch.optim.Optimizer:
    learned = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    if experiment.optimizer == "AdamW":
        return torch.optim.AdamW(learned, experiment.lr, weight_decay=experiment.weight_decay, fused=True)
    return torch.optim.SGD(
        learned,
        experiment.lr,
        momentum=0.9,
        nesterov=experiment.nesterov,
        weight_decay=experiment.weight_decay,
        fused=True,
    )


def learning_rate(experiment: Experiment, progress: float) -> float:
    """`progress`: share of all steps already taken, 0..1."""
    if experiment.scheduler == "none":
        return experiment.lr
    if experiment.scheduler == "MultiStepLR":
        passed = sum(progress * experiment.epochs >= milestone for milestone in experiment.milestones)
        return experiment.lr * _DECAY**passed
    if progress < _WARM_UP:
        return experiment.lr * (0.04 + 0.96 * progress / _WARM_UP)
    return experiment.lr * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
