"""Train the surface of a guard with good photos alone: faults are drawn into them, and a head learns where they are.

The pretrained layers stay as they are, so their features are computed once per photo, and the head then trains in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inspectd.guard.surface import CELL_PX, LEAST_PX
from inspectd.part import Image
from inspectd.terminal import track
from inspectd_tools.deploy.guard.surface.faults import CROP_PX, Grey, draw, noise, random_square
from inspectd_tools.deploy.guard.surface.network import Features, Head, export

_PIECE_PX = 512
"""Larger photos are cut, so that all features fit in memory: about 0.7 MB each."""
_PIECES = 500
"""Pieces with faults, from all photos together, and at most so many without."""
_STEPS = 1200
_RATE = 2e-3
_SURE = 0.12
"""Share of a cell that a fault covers at least, if the cell is to look like a fault."""
_EASY = 0.02
"""Weight of a good cell that already looks good."""
_GOOD = 16.0
"""Weight of all good cells together."""


@dataclass(frozen=True, slots=True)
class _Example:
    features: Tensor
    """(1, CHANNELS, rows, columns) float16."""
    fault: Tensor
    """(2, rows, columns): of each cell, the largest and the mean share that is fault."""


def train(photos: Sequence[Image], weights: Path, seed: int) -> bytes:
    """The network as ONNX. `photos`: good ones, (h, w) uint8 grey of any sizes. `weights`: of MobileNetV2.

    Raises ConfigError: `weights` can't be used, or a photo is smaller than 64x64 px (ValueError).
    """
    rng = np.random.default_rng(seed)
    features = Features(weights)
    pieces = [_piece(photo, rng) for photo in photos]
    good = [_seen(features, piece.astype(np.float32)) for piece in track(pieces[:_PIECES], "good features")]
    faulty = [
        _faulty(features, _piece(photos[number % len(photos)], rng), rng)
        for number in track(range(_PIECES), "features with faults")
    ]
    return export(features, _fitted(good, faulty, rng, seed))


def _piece(photo: Image, rng: np.random.Generator) -> Image:
    """The photo, or a random part of a large one."""
    if min(photo.shape) < LEAST_PX:
        raise ValueError(f"a photo has {photo.shape[1]}x{photo.shape[0]} px; at least {LEAST_PX}x{LEAST_PX} are needed")
    corner = [int(rng.integers(max(0, length - _PIECE_PX) + 1)) for length in photo.shape]
    return photo[corner[0] : corner[0] + _PIECE_PX, corner[1] : corner[1] + _PIECE_PX]


@torch.inference_mode()
def _seen(features: Features, grey: Grey) -> Tensor:
    return features(torch.from_numpy(np.ascontiguousarray(grey, np.float32))[None, None]).half()


def _faulty(features: Features, piece: Image, rng: np.random.Generator) -> _Example:
    grey = lit(piece.astype(np.float32), rng)
    mask = np.zeros_like(grey)
    side = min(CROP_PX, *grey.shape)
    for _ in range(rng.integers(2, 6)):
        here, there = (random_square(grey.shape, side, rng) for _ in range(2))
        grey[here], fault = draw(grey[here].copy(), grey[there].copy(), rng)
        mask[here] = np.maximum(mask[here], fault)
    rows, columns = (length // CELL_PX for length in mask.shape)
    cells = mask[: rows * CELL_PX, : columns * CELL_PX].reshape(rows, CELL_PX, columns, CELL_PX)
    return _Example(_seen(features, grey), torch.from_numpy(np.stack([cells.max((1, 3)), cells.mean((1, 3))])))


def lit(grey: Grey, rng: np.random.Generator) -> Grey:
    """The photo in another light: gamma, brightness, a slope, blur and noise."""
    field = 0.25 * rng.standard_normal() + 0.15 * noise(grey.shape, float(rng.choice((120, 240))), rng)
    seen = 255 * (grey / 255) ** np.exp(0.2 * rng.standard_normal()) * np.exp(field)
    if rng.random() < 0.3:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 0.9))
    return np.clip(seen + rng.standard_normal(grey.shape) * rng.uniform(0, 2.5), 0, 255).astype(np.float32)


def _fitted(good: Sequence[Tensor], faulty: Sequence[_Example], rng: np.random.Generator, seed: int) -> Head:
    torch.manual_seed(seed)
    sample = torch.cat([one[0].flatten(1)[:, ::7].float() for one in good], dim=1)
    head = Head(sample.mean(dim=1), sample.std(dim=1) + 1e-3)
    level = nn.Parameter(torch.tensor([1.0, -1.0]))  # from the highest logit to that of the whole photo
    optimizer = torch.optim.AdamW([*head.parameters(), level], _RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=0.1)
    head.train()
    for _ in track(range(_STEPS), "training"):
        example = faulty[int(rng.integers(len(faulty)))]
        features, fault = _turned(rng, example.features.float(), example.fault[None])
        (clean,) = _turned(rng, good[int(rng.integers(len(good)))].float())
        loss = _loss(head(features), fault, level) + _loss(head(clean), torch.zeros(1, 2, *clean.shape[2:]), level)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*head.parameters(), level], 1.0)
        optimizer.step()
        schedule.step()
    return head.eval()


def _loss(logits: Tensor, fault: Tensor, level: Tensor) -> Tensor:
    """Of the cells, and of the photo by its highest cell. Cells at the edge of a fault don't count."""
    is_fault = (fault[:, :1] > 0).float()
    beside = functional.max_pool2d(is_fault, 3, 1, 1) - is_fault
    counts = ((is_fault == 0) | (fault[:, 1:] > _SURE)).float() * (1 - beside)
    losses = functional.binary_cross_entropy_with_logits(logits, is_fault, reduction="none")
    bad, well = is_fault * counts, (1 - is_fault) * counts
    hard = torch.sigmoid(logits.detach()).clamp_min(_EASY)
    cells = (losses * bad).sum() / bad.sum().clamp_min(1) + _GOOD * (losses * hard * well).sum() / well.sum().clamp_min(
        1
    )
    smooth = functional.avg_pool2d(logits, 3, 1, 1, count_include_pad=False)
    photo = functional.binary_cross_entropy_with_logits(smooth.amax() * level[0] + level[1], is_fault.amax())
    loss: Tensor = cells + photo
    return loss


def _turned(rng: np.random.Generator, *maps: Tensor) -> list[Tensor]:
    axes = [axis for axis in (2, 3) if rng.random() < 0.5]
    return [one.flip(axes) if axes else one for one in maps]
