"""The known ways in which a DUQ head fails without an error, looked for after training. Each comes with a hint."""

import torch
from torch import Tensor

_COLLAPSED = 0.8
_UNDERFLOW = -50.0
_CERTAIN_OF_NOISE = 0.9


def failures(log_kernel: Tensor, labels: Tensor, noise_log_kernel: Tensor, names: tuple[str, ...]) -> list[str]:
    """What is wrong, in words. (N, classes) log K_c of validation photos, their (N,) labels, and (M, classes) of pure noise."""
    found = []
    for place, name in enumerate(names):
        own, others = (log_kernel[mine, place].exp().mean() for mine in (labels == place, labels != place))
        if others > _COLLAPSED * own:  # false where either has no photo
            found.append(
                f"class {name}: its centroid is as near to the photos of the others (K is {others:.2f}) as to its own "
                f"({own:.2f}): it has collapsed; give more photos of it, or a lower lr"
            )
    lost = (log_kernel.max(1).values < _UNDERFLOW).float().mean()
    if lost > 0.1:
        found.append(
            f"K is 0 for all classes on {lost:.0%} of the validation photos: raise length_scale, or train longer"
        )
    certain = noise_log_kernel.max(1).values.exp().mean()
    if certain > _CERTAIN_OF_NOISE:
        found.append(
            f"it is certain of pure noise (K is {certain:.2f}): lower length_scale, or set gp_const so that features keep distances"
        )
    return found


def noise(channels: int, height: int, width: int) -> Tensor:
    """(32, C, H, W) uint8: what no class can look like."""
    return torch.randint(
        0, 256, (32, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
