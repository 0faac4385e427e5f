"""Rules of DeepLift for operations for which Captum has no rule, or a wrong one.

DeepLift (Shrikumar, Greenside, Kundaje, "Learning important features through propagating activation differences",
2017) distributes the difference between an output and the output for a baseline over the inputs. Its rescale rule holds
for every function of one value: (f(x) - f(b)) / (x - b) replaces the gradient. Captum applies it to the modules in its
list; this module adds more. A batch holds the images first and then, in the same order, their baselines.
"""

from typing import Any, cast

import torch
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from torch import Tensor, nn
from torch.nn import functional


class ClippedReLU(nn.ReLU):
    """min(max(x, 0), highest): ReLU6, as a subclass of ReLU so that the methods recognise it."""

    def __init__(self, highest: float) -> None:
        super().__init__()
        self.highest = highest

    def forward(self, input: Tensor) -> Tensor:
        return input.clamp(0, self.highest)


class Square(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return input.square()


class Exponential(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return input.exp()


class Mean(nn.Module):
    """(N, K, m) -> (N, K): mean over m times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, input: Tensor) -> Tensor:
        return self.factor * input.mean(dim=2)


class Product(nn.Module):
    """x * y of two values that both depend on the image, such as a feature map and its gate."""

    shares_out = False
    """True for DeepLift: each difference counts half with the other factor's value in the image and half with its value in the
    baseline, which is the Shapley value of a product (Lundberg and Lee, 2017). Otherwise the plain gradient."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return cast(Tensor, _SharedProduct.apply(x, y)) if self.shares_out else x * y  # type: ignore[no-untyped-call]


class MaxPool(nn.MaxPool2d):
    """Max pooling with windows that may overlap; the rule of Captum loses what two windows share."""


class _SharedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        (gradient,) = gradients
        return (gradient * _middle(y)).sum_to_size(x.shape), (gradient * _middle(x)).sum_to_size(y.shape)


def _middle(values: Tensor) -> Tensor:
    """(2N, ...): the mean of image and baseline, once for each of them."""
    image, baseline = values.chunk(2)
    return ((image + baseline) / 2).repeat(2, *[1] * (values.ndim - 1))


def _max_pool(
    pool: MaxPool, inputs: Tensor, outputs: Tensor, grad_input: Tensor, grad_output: Tensor, eps: float = 1e-10
) -> Tensor:
    """The difference of a window goes to one input: the maximum in the image or in the baseline, whichever is larger.

    The difference of that input is at least as large as the difference of the window.
    """
    _, winners = functional.max_pool2d(
        inputs, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
    )
    image, baseline = outputs.flatten(2).chunk(2)
    of_image, of_baseline = winners.flatten(2).chunk(2)
    winner = torch.where(image >= baseline, of_image, of_baseline)
    before, reference = inputs.flatten(2).chunk(2)
    difference = (before - reference).gather(2, winner)
    share = torch.where(difference.abs() < eps, torch.ones_like(difference), (image - baseline) / difference)
    gradient = grad_output.flatten(2) * share.repeat(2, 1, 1)
    spread = torch.zeros_like(inputs).flatten(2).scatter_add(2, winner.repeat(2, 1, 1), gradient)
    return spread.view_as(inputs)


SUPPORTED_NON_LINEAR.update(
    {ClippedReLU: nonlinear, nn.SiLU: nonlinear, Square: nonlinear, Exponential: nonlinear, MaxPool: _max_pool}
)
