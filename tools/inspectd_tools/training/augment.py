"""Augmentation: changes as they occur between labels on a line, and six policies from classification research.

The policies turn, mirror and recolour images. If that can change the class of an image (a crooked print), use `production` or
`no_augment`.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspectd_tools.networks.torchvision_compat import transforms

SHIFT_PX = 4
GAIN = 0.12
NOISE = 2.0

Change = Callable[[Tensor], Tensor]
"""(C, H, W) uint8 -> the same shape and type; random numbers come from torch's global generator."""


def production_variation(images: Tensor, generator: torch.Generator) -> Tensor:
    """(N, C, H, W) uint8 -> the same shape and type; each image is shifted by a few px, a little brighter or darker, and has sensor noise."""
    count, _, height, width = images.shape
    padded = functional.pad(images.float(), [SHIFT_PX] * 4, mode="replicate")
    shifts = torch.randint(0, 2 * SHIFT_PX + 1, (count, 2), generator=generator).tolist()
    shifted = torch.stack(
        [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, shifts, strict=True)]
    )
    gain = 1 + GAIN * (2 * torch.rand((count, 1, 1, 1), generator=generator) - 1)
    noise = NOISE * torch.randn(shifted.shape, generator=generator)
    return (shifted * gain + noise).round().clamp(0, 255).to(torch.uint8)


def policy(name: str) -> Change:
    """One of the six policies."""
    policies: dict[str, Change] = {
        "no_augment": transforms.Identity(),
        "simple": transforms.RandomHorizontalFlip(),
        "rand_augment": transforms.RandAugment(),
        "auto_augment": transforms.AutoAugment(transforms.AutoAugmentPolicy.IMAGENET),
        "random_choice": transforms.RandomChoice([change for phase in _PHASES for change in phase]),
        "categorical": transforms.Compose([transforms.RandomChoice([_unchanged, *phase]) for phase in _PHASES]),
    }
    return policies[name]


def _unchanged(image: Tensor) -> Tensor:
    return image


def _corruption(corrupt: Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.floating]]) -> Change:
    """Turn a change of an (H, W, C) array into a change of a tensor."""

    def change(image: Tensor) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        changed = corrupt(array, rng).reshape(array.shape).round().clip(0, 255).astype(np.uint8)
        return torch.from_numpy(changed).permute(2, 0, 1).contiguous()

    return change


def shot_noise(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.floating]:
    """Counting noise of photons: white is 30 of them (Hendrycks and Dietterich, "Benchmarking neural network robustness", 2019)."""
    return rng.poisson(image / 255 * 30) / 30 * 255


def impulse_noise(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.floating]:
    """2 % of the values black, 2 % white."""
    chance = rng.random(image.shape)
    return np.where(chance < 0.02, 0.0, np.where(chance > 0.98, 255.0, image))


def motion_blur(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.floating]:
    """Blur along a line of 9 px in a random direction."""
    line = np.zeros((9, 9), np.float32)
    line[4] = 1
    turned = cv2.warpAffine(line, cv2.getRotationMatrix2D((4, 4), rng.uniform(0, 180), 1), (9, 9))
    return cv2.filter2D(image, cv2.CV_32F, turned / turned.sum())


def zoom_blur(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.floating]:
    """The mean of enlarged images, up to 10 % larger."""
    height, width = image.shape[:2]
    closest = rng.uniform(1.03, 1.1)
    views = [
        cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), 0, zoom), (width, height))
        for zoom in np.linspace(1, closest, 6)
    ]
    return np.mean(views, axis=0)


def pixelate(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.floating]:
    """Reduce the resolution to between a third and two thirds."""
    height, width = image.shape[:2]
    share = rng.uniform(0.33, 0.67)
    small = (max(1, round(width * share)), max(1, round(height * share)))
    coarse = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)


def jpeg(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.floating]:
    """Quality 10 to 40."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 41))])
    flag = cv2.IMREAD_GRAYSCALE if image.shape[2] == 1 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(data, flag), np.float32)


def _solarize(image: Tensor) -> Tensor:
    solarized: Tensor = transforms.functional.solarize(image, float(torch.randint(100, 201, ())))
    return solarized


_PHASES: tuple[list[Change], ...] = (
    [
        transforms.RandomRotation(30),
        transforms.RandomHorizontalFlip(1.0),
        transforms.RandomAffine(0, translate=(0.3, 0.3), scale=(0.75, 1), shear=(0, 0.2)),
    ],
    [
        transforms.RandomGrayscale(1.0),
        transforms.RandomAdjustSharpness(2, 1.0),
        transforms.RandomAutocontrast(1.0),
        transforms.RandomEqualize(1.0),
    ],
    [
        transforms.RandomInvert(1.0),
        transforms.RandomPosterize(3, 1.0),
        _solarize,
        transforms.ColorJitter(0.5, 0.5, 0.5, 0.1),
    ],
    [
        transforms.GaussianBlur(5),
        *map(_corruption, (shot_noise, impulse_noise, motion_blur, zoom_blur, pixelate, jpeg)),
    ],
)
"""Geometry, simple colour, stronger colour, corruption."""
