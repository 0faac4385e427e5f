"""Train the reader's network on rendered lines, and on crops of photos where there are some."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspectd.terminal import progress_bar, text_column
from inspectd_tools.text.lines import Line
from inspectd_tools.text.network import Network
from inspectd_tools.text.source import Source
from inspectd_tools.text.texts import ALPHABET

DAMAGED = 1
_SYMBOLS = {character: place + 2 for place, character in enumerate(ALPHABET)}
_WIDTHS = (96, 128, 160, 192, 224, 288)
_COLUMNS_PER_BATCH = 192 * 32


@dataclass(frozen=True, slots=True)
class Settings:
    steps: int
    rate: float
    seed: int


@dataclass(frozen=True, slots=True)
class Taught:
    """One kind of line to learn. `weight`: how often, compared with the others."""

    source: Source
    weight: float


def symbols(line: Line) -> list[int]:
    """What the network must answer. A gap is no character."""
    return [
        DAMAGED if place == line.damaged else _SYMBOLS[character]
        for place, character in enumerate(line.text)
        if character != " "
    ]


def train(network: Network, taught: Sequence[Taught], settings: Settings) -> None:
    """Train `network`, in place."""
    if not settings.steps:
        return
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    weights = np.array([one.weight for one in taught])
    optimizer = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.15, final_div_factor=1e3
    )
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean_loss = math.nan
    with progress_bar(text_column("loss {task.fields[loss]}")) as progress:
        task = progress.add_task("training", total=settings.steps, loss="")
        for _ in range(settings.steps):
            crops, targets = batch([one.source for one in taught], weights / weights.sum(), rng)
            loss = _loss(network, crops, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            schedule.step()
            mean_loss = loss.item() if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * loss.item()
            progress.update(task, advance=1, loss=f"{mean_loss:.4f}")
    network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def batch(
    sources: Sequence[Source], probabilities: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Tensor, list[list[int]]]:
    """(N, 1, 32, w) uint8 crops of one width, and the symbols of each."""
    width = int(rng.choice(_WIDTHS))
    lines = [
        sources[int(rng.choice(len(sources), p=probabilities))].line(width, rng)
        for _ in range(max(_COLUMNS_PER_BATCH // width, 1))
    ]
    crops = torch.from_numpy(np.stack([line.crop for line in lines])[:, None])
    return crops, [symbols(line) for line in lines]


def _loss(network: Network, crops: Tensor, targets: list[list[int]]) -> Tensor:
    """Of a character, so that long lines count as much as short ones."""
    with torch.autocast("cpu", torch.bfloat16):
        log_probs = network(crops)
    lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([symbol for target in targets for symbol in target], dtype=torch.long)
    columns = torch.full((len(targets),), log_probs.shape[1], dtype=torch.long)
    losses = functional.ctc_loss(
        log_probs.float().transpose(0, 1), flat, columns, lengths, reduction="none", zero_infinity=True
    )
    return losses.sum() / lengths.sum().clamp_min(1)
