"""Does a map show what changes the score of the network?

Deletion and insertion: Petsiuk, Das, Saenko, "RISE", 2018. Infidelity and sensitivity: Yeh et al., "On the (in)fidelity
and sensitivity of explanations", 2019.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from numpy.typing import NDArray
from torch import Tensor

from inspectd_tools.explain.evidence import Map
from inspectd_tools.explain.methods import Method
from inspectd_tools.explain.network import Network

_STEPS = 16
_BLUR_SIGMA_SHARE = 0.05
"""Share of the shorter side of the image: after this blur no fault is visible."""
_NOISE_STD = 0.1
"""In units of normalised images."""
_NOISY = 32
_NUDGED = 4

Score = Callable[[Tensor], Tensor]
"""(N, C, H, W) normalised -> (N,) in 0..1"""


def deletion(score: Score, image: Tensor, attribution: Map) -> NDArray[np.float64]:
    """(17,) scores while pixels of (C, H, W) turn mean grey, most important first. With a good map they fall early."""
    return _curve(score, image, torch.zeros_like(image), attribution)


def insertion(score: Score, image: Tensor, attribution: Map) -> NDArray[np.float64]:
    """(17,) scores while a blurred image gets its pixels back, most important first. With a good map they rise early."""
    sigma = _BLUR_SIGMA_SHARE * min(image.shape[1:])
    blurred = np.stack([cv2.GaussianBlur(channel, (0, 0), sigma) for channel in image.numpy()])
    return _curve(score, torch.from_numpy(blurred), image, attribution)


def area(curve: NDArray[np.float64]) -> float:
    """Area under a curve over shares 0..1."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def unexplained(network: Network, method: Method, image: Tensor, place: int, attribution: Tensor) -> float:
    """Infidelity under gaussian noise, with the best scale for the map, as a share of how much the noise changes the target.

    0: the map predicts every change; 1: none. `image` and `attribution` are (1, C, H, W). NaN if the noise changes nothing.
    """

    @infidelity_perturb_func_decorator(method.adds_up)
    def noise(inputs: Tensor) -> Tensor:
        return inputs + _NOISE_STD * torch.randn_like(inputs)

    def measured(attribution: Tensor, normalize: bool) -> float:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            found = infidelity(
                network, noise, image, attribution, target=place, n_perturb_samples=_NOISY, normalize=normalize
            )
        return float(found)

    moved = measured(torch.zeros_like(image), False)
    spread_out = (attribution / (image.shape[1] // attribution.shape[1])).expand_as(image).contiguous()
    return measured(spread_out, True) / moved if moved > 0 else float("nan")


def sensitivity(network: Network, method: Method, image: Tensor, place: int) -> float:
    """How much the map of (1, C, H, W) changes, as a share of its norm, when the pixels change by up to 0.02."""

    def explain(inputs: tuple[Tensor]) -> tuple[Tensor]:
        (images,) = inputs
        # Captum takes a bare tensor for a sequence of its first axis
        return (method.attribute(network, images, torch.full((len(images),), place)).contiguous(),)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return float(sensitivity_max(explain, image, n_perturb_samples=_NUDGED))


def _curve(score: Score, start: Tensor, end: Tensor, attribution: Map) -> NDArray[np.float64]:
    flat = attribution.ravel()
    shuffled = np.random.default_rng(0).random(
        flat.size
    )  # random order among equal values, which a coarse map has many of
    rank = np.empty(flat.size, np.int64)
    rank[np.lexsort((shuffled, -flat))] = np.arange(flat.size)
    ranks = torch.from_numpy(rank.reshape(attribution.shape))
    taken = torch.linspace(0, flat.size, _STEPS + 1).round()
    images = torch.stack([torch.where(ranks < count, end, start) for count in taken])
    with torch.no_grad():
        return score(images).double().numpy()
