"""Training batches: order, balance and augmentation, all of them functions of seed and epoch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from inspectd_tools.training.augment import production_variation
from inspectd_tools.training.data import Images
from inspectd_tools.training.experiment import Experiment


class Batches:
    """Whole batches of one size; what is left over at an epoch's end waits for the next one's shuffle."""

    def __init__(self, images: Images, experiment: Experiment) -> None:
        self._experiment = experiment
        self._pixels = torch.from_numpy(images.pixels)
        self._labels = torch.from_numpy(images.labels)
        self._drawn = experiment.epoch_images or len(self._labels)

    def __len__(self) -> int:
        return max(1, self._drawn // self._experiment.batch_size)

    def of_epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(N, C, H, W) uint8 and (N,) labels."""
        generator = torch.Generator().manual_seed(self._experiment.seed * 1_000_003 + number)
        order = self._order(generator)
        size = self._experiment.batch_size
        for start in range(0, len(self) * size, size):
            places = order[start : start + size]
            images = self._pixels[places]
            if self._experiment.augmentation == "production":
                images = production_variation(images, generator)
            yield images, self._labels[places]

    def _order(self, generator: torch.Generator) -> Tensor:
        if self._experiment.class_balance == "sampling":
            weights = 1 / torch.bincount(self._labels)[self._labels]
            return torch.multinomial(weights, self._drawn, replacement=True, generator=generator)
        rounds = -(-self._drawn // len(self._labels))
        shuffled = [torch.randperm(len(self._labels), generator=generator) for _ in range(rounds)]
        return torch.cat(shuffled)[: self._drawn]
