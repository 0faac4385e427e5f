"""One optimisation step: in which precision its parts are computed."""

import copy

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional

from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.duq import gradient_penalty
from inspectd_tools.settings import load_settings
from inspectd_tools.training.optimizer import optimizer_of
from inspectd_tools.training.step import losses, training_step


def test_a_step_with_a_gradient_penalty_is_computed_in_float32():
    """Also on a processor with bf16. There the penalty and its gradient would be inaccurate."""
    settings = load_settings("duq-fashionmnist", ["duq_start=near", "lr=0.001", "gp_const=1", "length_scale=0.5"])
    torch.manual_seed(0)
    classifier = Classifier(settings)
    images = torch.randn(8, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    labels, weights = torch.arange(8), torch.ones(10)
    other, inputs = copy.deepcopy(classifier).train(), images.clone().requires_grad_()
    log_kernel = other(inputs)
    expected = losses(other.head, log_kernel, functional.one_hot(labels, 10).float(), settings).mean()
    expected = expected + gradient_penalty(log_kernel, inputs)
    loss = training_step(classifier, settings, optimizer_of(classifier, settings), images, labels, weights)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
