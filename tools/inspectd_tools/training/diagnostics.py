"""The known ways in which a DUQ head fails without an error, looked for after training. Each comes with a hint."""

import torch
from torch import Tensor

from inspectd_tools.metrics.classification import auroc

_COLLAPSED = 0.7
_UNDERFLOW = -50.0
_CERTAIN_OF_NOISE = 0.9


def failures(log_kernel: Tensor, labels: Tensor, noise_log_kernel: Tensor, names: tuple[str, ...]) -> list[str]:
    """What is wrong, in words. (N, classes) log K_c of validation photos, their (N,) labels, and (M, classes) of pure noise."""
    found = []
    for place, name in enumerate(names):
        own, others = (log_kernel[mine, place].double().numpy() for mine in (labels == place, labels != place))
        told = auroc(others, own)
        if told is not None and told < _COLLAPSED:
            found.append(
                f"class {name}: its centroid tells its own photos from the others' little better than chance does (AUROC "
                f"{told:.2f}; chance is 0.5): it has collapsed; give more photos of it, or a lower lr"
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
