"""Attribution methods: which pixels of an image support the predicted class, and which contradict it.

integrated_gradients: Sundararajan, Taly, Yan 2017. saliency_map: Simonyan, Vedaldi, Zisserman 2014. deeplift: Shrikumar,
Greenside, Kundaje 2017. guided_backpropagation: Springenberg et al. 2015. grad_cam: Selvaraju et al. 2017.
Methods that need a baseline use mean grey (or mean colour), with which the images are normalised.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from captum.attr import DeepLift, GuidedBackprop, IntegratedGradients, LayerAttribution, LayerGradCam, Saliency
from torch import Tensor

from inspectd.errors import ConfigError
from inspectd_tools.explain.network import Network, as_double
from inspectd_tools.explain.rules import Product

STEPS = 200
_MOST_STEPS = 8 * STEPS
"""While the sum is off by more than 1 %, the steps are doubled, up to this number."""
_INTERNAL_BATCH = 32
_LARGEST_GAP = 0.01
_RECTIFIED = frozenset({"ReLU", "ReLU6", "MaxPool2d", "Square", "Exponential", "Softmax"})
"""Rectifiers, and layers through which guided backpropagation passes the plain gradient, as in its paper."""


@dataclass(frozen=True, slots=True)
class Method:
    attribute: Callable[[Network, Tensor, Tensor], Tensor]
    """Network, (N, C, H, W) normalised images, (N,) classes -> (N, C or 1, H, W). Raises ConfigError if the method does not apply."""
    is_signed: bool
    """Negative values contradict the class."""
    adds_up: bool
    """The values sum to the target for the image minus the target for the baseline."""


def gap(network: Network, images: Tensor, classes: Tensor, attributions: Tensor) -> Tensor:
    """(N,) error of the sums: distance to f(image) - f(baseline), as a share of it (completeness, Sundararajan et al. 2017)."""
    exact = as_double(network)
    with torch.no_grad():
        values = exact(images.double()).gather(1, classes[:, None])
        baseline = exact(torch.zeros_like(images[:1]).double())[0][classes][:, None]
    wanted = (values - baseline)[:, 0]
    return (attributions.double().flatten(1).sum(1) - wanted).abs() / wanted.abs().clamp(
        min=torch.finfo(torch.double).tiny
    )


def is_whole(gap: float) -> bool:
    """Adds up within 1 %."""
    return gap <= _LARGEST_GAP


def _integrated_gradients(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    pairs = zip(images.split(1), classes.split(1), strict=True)
    return torch.cat([_integrated_gradient(network, image, place) for image, place in pairs])


def _integrated_gradient(network: Network, image: Tensor, place: Tensor) -> Tensor:
    method, steps = IntegratedGradients(network), STEPS  # type: ignore[no-untyped-call]
    while True:
        found = method.attribute(image, target=place, n_steps=steps, internal_batch_size=_INTERNAL_BATCH)
        found = cast(Tensor, found.detach().float())
        if steps >= _MOST_STEPS or is_whole(float(gap(network, image, place, found))):
            return found
        steps *= 2


def _saliency_map(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    return cast(Tensor, Saliency(network).attribute(_leaf(images), target=classes).detach())  # type: ignore[no-untyped-call]


def _deeplift(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    if network.unknown:
        raise ConfigError(f"deeplift: has no rule for {', '.join(sorted(network.unknown))}")
    if "Softmax" in network.activations:
        raise ConfigError(
            "deeplift: has no rule that adds up for a softmax, which mixes all classes; explain the logits "
            "(--target class or contrast), or use integrated_gradients"
        )
    exact = as_double(network)
    for module in exact.modules():
        if isinstance(module, Product):
            module.shares_out = True
    with _quiet():
        maps = DeepLift(exact).attribute(_leaf(images.double()), target=classes)  # type: ignore[no-untyped-call]
    return cast(Tensor, maps.detach().float())


def _guided_backpropagation(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    others = (network.activations | network.unknown) - _RECTIFIED
    if others:
        raise ConfigError(
            f"guided_backpropagation: is defined for ReLU alone; this network also has {', '.join(sorted(others))}, "
            "for which it would be the same as the plain gradient"
        )
    with _quiet():
        maps = GuidedBackprop(network).attribute(_leaf(images), target=classes)  # type: ignore[no-untyped-call]
    return cast(Tensor, maps.detach())


def _grad_cam(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    method = LayerGradCam(network, network.backbone)  # type: ignore[no-untyped-call]
    coarse = method.attribute(_leaf(images), target=classes, relu_attributions=True).detach().cpu()
    rows, columns = coarse.shape[2:]
    if rows * columns == 1:
        raise ConfigError("grad_cam: the last feature map is 1x1 and does not show positions; use saliency_map")
    return cast(Tensor, LayerAttribution.interpolate(coarse, images.shape[2:], "bilinear"))


def _leaf(images: Tensor) -> Tensor:
    return images.detach().clone().requires_grad_()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warning of Captum, at every call, that it sets hooks and removes them again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks")
        yield


METHODS = {
    "grad_cam": Method(_grad_cam, is_signed=False, adds_up=False),
    "saliency_map": Method(_saliency_map, is_signed=False, adds_up=False),
    "guided_backpropagation": Method(_guided_backpropagation, is_signed=True, adds_up=False),
    "deeplift": Method(_deeplift, is_signed=True, adds_up=True),
    "integrated_gradients": Method(_integrated_gradients, is_signed=True, adds_up=True),
}
"""Fastest first."""
