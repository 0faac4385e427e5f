"""Training batches: order, balance and augmentation. They depend only on the seed and the epoch."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from inspectd.errors import ConfigError
from inspectd_tools.data.images import Images
from inspectd_tools.distributed import count, share
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.augment import Change, policy, production_variation

_WORKERS = 2


class Batches:
    """Batches of one size. Images that do not fill a batch at the end of an epoch are left out of that epoch."""

    def __init__(self, images: Images, settings: TrainingSettings) -> None:
        self._settings = settings
        self._pixels = torch.from_numpy(images.pixels)
        self._labels = torch.from_numpy(images.labels)
        if settings.batch_size % count():
            raise ConfigError(
                f"batch_size: {settings.batch_size} is not allowed: it must be a multiple of {count()}, the number of processes"
            )
        wanted = settings.epoch_images or len(self._labels)
        self._drawn = max(1, wanted // settings.batch_size) * settings.batch_size

    def __len__(self) -> int:
        return self._drawn // self._settings.batch_size

    def of_epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(N, C, H, W) uint8 and (N,) labels: the share of this process in each batch."""
        seed = self._settings.seed * 1_000_003 + number
        generator = torch.Generator().manual_seed(seed)
        order, size = self._order(generator), self._settings.batch_size
        if self._settings.augmentation not in ("no_augment", "production"):
            changed = _Changed(self._pixels, self._labels, order, policy(self._settings.augmentation), seed)
            own = [place for batch in torch.arange(self._drawn).split(size) for place in share(batch).tolist()]
            yield from DataLoader(changed, size // count(), sampler=own, num_workers=_WORKERS)
            return
        for places in order.split(size):
            images = self._pixels[places]
            if self._settings.augmentation == "production":
                images = production_variation(images, generator)
            yield share(images), share(self._labels[places])

    def _order(self, generator: torch.Generator) -> Tensor:
        if self._settings.class_balance == "sampling":
            weights = 1 / torch.bincount(self._labels)[self._labels]
            return torch.multinomial(weights, self._drawn, replacement=True, generator=generator)
        rounds = -(-self._drawn // len(self._labels))
        shuffled = [torch.randperm(len(self._labels), generator=generator) for _ in range(rounds)]
        return torch.cat(shuffled)[: self._drawn]


class _Changed(Dataset[tuple[Tensor, Tensor]]):
    """Images that are changed one by one in the workers. Each image has its own seed, so the worker makes no difference."""

    def __init__(self, pixels: Tensor, labels: Tensor, order: Tensor, change: Change, seed: int) -> None:
        self._pixels, self._labels, self._order = pixels, labels, order
        self._change, self._seed = change, seed

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(self._seed * 1_000_003 + position)
        place = self._order[position]
        return self._change(self._pixels[place]), self._labels[place]
