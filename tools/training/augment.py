"""How one good label differs from the next on a running line; nothing that would make a good label a bad one."""

import torch
from torch import Tensor
from torch.nn import functional

SHIFT_PX = 4
GAIN = 0.12
NOISE = 2.0


def production_variation(images: Tensor, generator: torch.Generator) -> Tensor:
    """(N, C, H, W) uint8 -> the same, each shifted by a few px, a little brighter or darker, with sensor noise."""
    count, _, height, width = images.shape
    padded = functional.pad(images.float(), [SHIFT_PX] * 4, mode="replicate")
    shifts = torch.randint(0, 2 * SHIFT_PX + 1, (count, 2), generator=generator).tolist()
    shifted = torch.stack(
        [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, shifts, strict=True)]
    )
    gain = 1 + GAIN * (2 * torch.rand((count, 1, 1, 1), generator=generator) - 1)
    noise = NOISE * torch.randn(shifted.shape, generator=generator)
    return (shifted * gain + noise).round().clamp(0, 255).to(torch.uint8)
