"""Known ways in which the training of a DUQ head fails without an error. They are looked for after training, each with a hint."""

import torch
from torch import Tensor

from inspectd_tools.metrics.classification import auroc

_COLLAPSED = 0.7
_MOSTLY_RIGHT = 0.8
"""Share of the photos of a class, or taken for it, that are right."""
_FEW = 10
"""With fewer validation photos, each one changes the figures by more than a tenth."""
_UNDERFLOW = -50.0
_CERTAIN_OF_NOISE = 0.9


def failures(
    log_kernel: Tensor, labels: Tensor, noise_log_kernel: Tensor, names: tuple[str, ...], *, is_trained: bool = True
) -> list[str]:
    """One sentence per failure, and one about classes with few validation photos. Arguments: (N, classes) log K_c of the validation photos, their (N,) labels, (M, classes) log K_c of noise.

    `is_trained`: whether gradient descent trained the network, so that its settings can help.
    """
    found, few = [], []
    said = log_kernel.argmax(1)
    for place, name in enumerate(names):
        own, others = (log_kernel[mine, place].double().numpy() for mine in (labels == place, labels != place))
        found_auroc = auroc(others, own)
        concerned = (labels == place) | (said == place)
        right = (labels == said)[concerned].double().mean()
        if len(own) < _FEW:
            few.append(f"{name} {int((said[labels == place] == place).sum())} of {len(own)}")
        elif len(others) >= _FEW and found_auroc is not None and found_auroc < _COLLAPSED and right < _MOSTLY_RIGHT:
            found.append(
                f"class {name}: the network cannot separate this class from the others (AUROC {found_auroc:.2f}; chance is 0.5). "
                f"Add photos of it{', or lower lr' if is_trained else ''}."
            )
    if few:
        found.append(
            f"few validation photos; right are: {', '.join(few)}. With fewer than {_FEW} per class, a wrong answer may be chance, and "
            "it is not known how well the network separates the classes. Add photos before you change settings."
        )
    lost = int((log_kernel.max(1).values < _UNDERFLOW).sum())
    if lost > 0.1 * len(labels):
        more = ", or train for more epochs" if is_trained else ""
        advice = (
            f"raise length_scale{more}"
            if lost >= _FEW
            else "look at these photos: do they differ from the training photos?"
        )
        found.append(f"K is 0 for all classes on {lost} of {len(labels)} validation photos; {advice}")
    certain = noise_log_kernel.max(1).values.exp().mean()
    if certain > _CERTAIN_OF_NOISE:
        found.append(
            f"the network is certain of images of pure noise (K is {certain:.2f}); lower length_scale, or set gp_const"
        )
    return found


def noise(channels: int, height: int, width: int) -> Tensor:
    """(32, C, H, W) uint8 of random pixels, which belong to no class."""
    return torch.randint(
        0, 256, (32, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
