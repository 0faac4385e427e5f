"""Train one GAN: hinge losses, averaged weights, and a saved state from which an interrupted run reaches the same weights."""

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from inspectd.errors import InspectdError
from inspectd.files.atomic_write import atomic_write
from inspectd.terminal import progress_bar, text_column
from inspectd_tools.device import CPU, on_cpu, sent
from inspectd_tools.synthetic.gan.augment import diff_augment
from inspectd_tools.synthetic.gan.images import sample_sheet, write_sheet
from inspectd_tools.synthetic.gan.networks import Discriminator, Generator
from inspectd_tools.training.loop import save_weights

WEIGHTS = "generator.safetensors"
_LAST = "last.pt"
BATCH = 16
_LEARNING_RATE, _BETAS = 4e-4, (0.5, 0.999)
_AVERAGE_DECAY = 0.999
_SHEETS = 20
_SHEET_COLUMNS = 10


class DivergedError(InspectdError):
    """A loss is not a number any more."""


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    discriminator_loss: float
    generator_loss: float
    redrawing_loss: float
    """Mean absolute difference between the photos and their reconstruction by the discriminator."""
    photo_logit: float
    """If it is far above `generated_logit` and grows, the discriminator has memorised its photos."""
    generated_logit: float
    seconds: float


def train_gan(
    pixels: Tensor,
    labels: Tensor,
    class_count: int,
    latent: int,
    epochs: int,
    seed: int,
    run: Path,
    device: torch.device = CPU,
) -> Generator:
    """Train on `device` with (N, C, S, S) uint8 and (N,) labels; returns the generator with averaged weights, in evaluation mode.

    `run` then holds the weights as `generator.safetensors`, the epochs, sample sheets and curves for TensorBoard; an
    interrupted run continues from `last.pt`. Random numbers depend only on seed and epoch. Raises DivergedError.
    """
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    gan = _Gan(pixels.shape[2], pixels.shape[1], latent, class_count, device)
    done = _resume(gan, run)
    photos = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    batch = min(BATCH, len(photos))
    steps = len(photos) // batch
    sheet_every = max(1, epochs // _SHEETS)
    with (
        progress_bar(text_column("{task.fields[note]}")) as progress,
        SummaryWriter(str(run / "tensorboard"), purge_step=len(done) + 1) as board,
    ):
        task = progress.add_task(run.name, total=epochs * steps, completed=len(done) * steps, note="")
        while len(done) < epochs:
            number = len(done) + 1
            torch.manual_seed(seed * 1_000_003 + number)
            start_s = time.monotonic()
            found = []
            for places in torch.randperm(len(photos))[: steps * batch].split(batch):
                found.append(gan.step(photos[places], labels[places]))
                progress.advance(task)
            losses: tuple[float, float, float, float, float] = tuple(torch.stack(found).double().mean(0).cpu().tolist())
            epoch = Epoch(number, *losses, seconds=time.monotonic() - start_s)
            if not math.isfinite(epoch.discriminator_loss + epoch.generator_loss):
                raise DivergedError(f"epoch {number}: the losses are not numbers any more; try another --seed")
            done.append(epoch)
            for key, value in asdict(epoch).items():
                board.add_scalar(key, value, number)
            if number % sheet_every == 0 or number == epochs:
                sheet = sample_sheet(gan.averaged, class_count, _SHEET_COLUMNS, seed)
                write_sheet(run / "samples" / f"epoch-{number:05d}.png", sheet)
                board.add_image("samples", sheet, number, dataformats="HWC")
            _save(gan, done, run)
            note = f"epoch {number}: photos {epoch.photo_logit:+.2f}, generated {epoch.generated_logit:+.2f}"
            progress.update(task, note=note)
    save_weights(gan.averaged, run / WEIGHTS)
    return gan.averaged


class _Gan:
    """Both networks, their optimisers, and the generator's average."""

    def __init__(self, size: int, channels: int, latent: int, class_count: int, device: torch.device) -> None:
        self.device = device
        self.generator = Generator(size, channels, latent, class_count).to(self.device)
        self.discriminator = Discriminator(size, channels, class_count).to(self.device)
        for network in (self.generator, self.discriminator):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), _LEARNING_RATE, _BETAS)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), _LEARNING_RATE, _BETAS)
        self.steps = 0

    def step(self, photos: Tensor, labels: Tensor) -> Tensor:
        """Each network once; hinge losses (Lim and Ye, "Geometric GAN", 2017). Returns (5,), the first five figures of Epoch."""
        photos, labels = diff_augment(sent(photos, self.device)), sent(labels, self.device)
        latents = sent(torch.randn(len(photos), self.generator.latent), self.device)
        images = self.generator(latents, labels)

        self.discriminator.requires_grad_(True)
        summary, features = self.discriminator.features(photos)
        of_photos = self.discriminator.judge(summary, labels)
        of_images = self.discriminator(diff_augment(images.detach()), labels)
        redrawing = (self.discriminator.redraw(features) - functional.avg_pool2d(photos, 2)).abs().mean()
        hinge = (1 - of_photos).relu().mean() + (1 + of_images).relu().mean()
        self.discriminator_optimizer.zero_grad()
        (hinge + redrawing).backward()
        self.discriminator_optimizer.step()

        self.discriminator.requires_grad_(False)
        loss = -self.discriminator(diff_augment(images), labels).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        self._average()
        return torch.stack([hinge, loss, redrawing, of_photos.mean(), of_images.mean()]).detach()

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average; young ones forget their random start faster."""
        self.steps += 1
        decay = min(_AVERAGE_DECAY, (1 + self.steps) / (10 + self.steps))
        for mean, value in zip(self.averaged.state_dict().values(), self.generator.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    @property
    def parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "averaged": self.averaged,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _save(gan: _Gan, done: list[Epoch], run: Path) -> None:
    rows = [asdict(epoch) for epoch in done]
    (run / "epochs.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    state = {name: part.state_dict() for name, part in gan.parts.items()}
    with atomic_write(run / _LAST, flush=True) as unfinished:
        torch.save(on_cpu(state | {"steps": gan.steps, "epochs": rows}), unfinished)


def _resume(gan: _Gan, run: Path) -> list[Epoch]:
    if not (run / _LAST).exists():
        return []
    state = torch.load(run / _LAST, map_location="cpu", weights_only=True)
    for name, part in gan.parts.items():
        part.load_state_dict(state[name])
    gan.steps = state["steps"]
    return [Epoch(**row) for row in state["epochs"]]
