"""Images from a generator: as arrays, and as a page to look at."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd_tools.synthetic.dataset import write_image
from inspectd_tools.synthetic.gan.networks import Generator

_BATCH = 64
_GAP_PX = 2


@torch.no_grad()
def generate(generator: Generator, labels: Tensor, seed: int) -> NDArray[np.uint8]:
    """(N,) labels -> (N, C, S, S) uint8. The same seed gives the same images."""
    latents = torch.randn(len(labels), generator.latent, generator=torch.Generator().manual_seed(seed))
    device = generator.to_image.weight.device
    images = [
        generator(some.to(device), chosen.to(device)).cpu()
        for some, chosen in zip(latents.split(_BATCH), labels.split(_BATCH), strict=True)
    ]
    pixels: NDArray[np.uint8] = ((torch.cat(images) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return pixels


def sample_sheet(generator: Generator, class_count: int, columns: int, seed: int) -> NDArray[np.uint8]:
    """(h, w, 3) RGB: one row per class."""
    labels = torch.arange(class_count).repeat_interleave(columns)
    return grid(generate(generator, labels, seed), columns)


def grid(pixels: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """(N, C, S, S), N a multiple of `columns` -> (h, w, 3) RGB, small images enlarged."""
    scale = max(1, 128 // pixels.shape[-1])
    images = [
        np.pad(cv2.resize(as_rgb(image), None, fx=scale, fy=scale), ((0, _GAP_PX), (0, _GAP_PX), (0, 0)))
        for image in pixels
    ]
    return np.vstack([np.hstack(images[start : start + columns]) for start in range(0, len(images), columns)])


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(1 or 3, h, w) -> (h, w, 3)"""
    return np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))


def write_sheet(path: Path, sheet: NDArray[np.uint8]) -> None:
    """Write (h, w, 3) RGB as PNG. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
