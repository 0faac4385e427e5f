"""DiffAugment: shift, recolour and partly cover everything that the discriminator sees, photos and generated images.

Zhao et al., "Differentiable augmentation for data-efficient GAN training", 2020. The generator learns the images before
the change. Images are not turned, scaled or mirrored: that would change their class (a crooked print), and the generator
would learn to do it. A cover is plain grey, which no print fault looks like.
"""

import torch
from torch import Tensor
from torch.nn import functional

_SHIFT_SHARE = 0.125
_COVER_SHARE = 0.3
"""Share of the side; the paper covers half of it, which would hide a whole label."""


def diff_augment(images: Tensor) -> Tensor:
    """(N, C, H, W) in about -1..1 -> the same shape. Differentiable; uses the global random generator of torch."""
    return _cover(_shift(_recolour(images)))


def _recolour(images: Tensor) -> Tensor:
    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((len(images), 1, 1, 1)).to(images.device)

    images = images + between(-0.5, 0.5)
    if images.shape[1] == 3:
        grey = images.mean(1, keepdim=True)
        images = grey + (images - grey) * between(0, 2)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * between(0.5, 1.5)


def _shift(images: Tensor) -> Tensor:
    count, _, height, width = images.shape
    margin = round(_SHIFT_SHARE * max(height, width))
    padded = functional.pad(images, [margin] * 4)
    shifts = torch.randint(0, 2 * margin + 1, (count, 2)).tolist()
    return torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, shifts, strict=True)])


def _cover(images: Tensor) -> Tensor:
    count, _, height, width = images.shape
    kept = []
    for length in (height, width):
        half = round(_COVER_SHARE * length) // 2
        middle = torch.randint(0, length + 1, (count, 1))
        kept.append(((torch.arange(length) - middle).abs() > half).to(images))
    rows, columns = kept
    shown = 1 - (1 - rows[:, :, None]) * (1 - columns[:, None, :])
    return images * shown[:, None]
