"""From pixels to what a network is trained on: normalised floats, laid out as its weights are."""

import torch
from torch import Tensor

from inspectd.inference.preprocess import InputSpec


def normalise(images: Tensor, spec: InputSpec) -> Tensor:
    """(N, C, H, W) uint8 -> float32 with the mean and standard deviation of `spec`."""
    scale, offset = scale_and_offset(spec)
    return images.float() * scale.to(images.device) + offset.to(images.device)


def to_network(images: Tensor, spec: InputSpec) -> Tensor:
    """(N, C, H, W) uint8 -> normalised float32 in the memory layout of the weights, channels last."""
    return normalise(images, spec).contiguous(memory_format=torch.channels_last)


def scale_and_offset(spec: InputSpec) -> tuple[Tensor, Tensor]:
    """(1, C, 1, 1) each, so that x * scale + offset = (x / 255 - mean) / std"""
    mean = torch.tensor(spec.mean).view(1, -1, 1, 1)
    std = torch.tensor(spec.std).view(1, -1, 1, 1)
    return 1 / (255 * std), -mean / std
