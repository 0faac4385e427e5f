"""A light GAN: generator with skip-layer excitation, discriminator with spectral norm that also learns to reconstruct the photos.

After FastGAN (Liu et al., "Towards faster and stabilized GAN training for high-fidelity few-frame image synthesis", 2021),
made small enough for a CPU. Spectral norm: Miyato et al. 2018; the class enters as in Miyato and Koyama, "cGANs with
projection discriminator", 2018. With one class the networks are the same.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

_NARROWEST, _WIDEST = 16, 192
_GATE_LEVELS = 4
_SUMMARY_CHANNELS = 256


class Generator(nn.Module):
    """(N, latent) and (N,) class labels -> (N, channels, size, size) in -1..1."""

    def __init__(self, size: int, channels: int, latent: int, class_count: int) -> None:
        super().__init__()
        sides = _sides(size)
        widths = [_width(size, side) for side in sides]
        self.latent = latent
        self.first = spectral_norm(nn.ConvTranspose2d(latent, widths[0], sides[0], bias=False))
        self.first_norm = ClassNorm(widths[0], class_count)
        self.blocks = nn.ModuleList(
            spectral_norm(nn.Conv2d(below, above, 3, padding=1, bias=False)) for below, above in pairwise(widths)
        )
        self.norms = nn.ModuleList(ClassNorm(width, class_count) for width in widths[1:])
        self.gates = nn.ModuleList(_gate(low, high) for low, high in zip(widths, widths[_GATE_LEVELS:], strict=False))
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        levels = [_leaky(self.first_norm(self.first(latent[:, :, None, None]), labels))]
        for number, (block, norm) in enumerate(zip(self.blocks, self.norms, strict=True), start=1):
            values = _leaky(norm(block(functional.interpolate(levels[-1], scale_factor=2.0)), labels))
            if number >= _GATE_LEVELS:
                values = values * self.gates[number - _GATE_LEVELS](levels[number - _GATE_LEVELS])
            levels.append(values)
        return torch.tanh(self.to_image(levels[-1]))


class Discriminator(nn.Module):
    """Images and their labels -> (N,): positive for photos; `redraw` returns the images at half their size.

    Because it must reconstruct the photos, its features describe the whole picture, and it does not memorise tens of photos
    by a few pixels (FastGAN).
    """

    def __init__(self, size: int, channels: int, class_count: int) -> None:
        super().__init__()
        sides = _sides(size)[::-1]
        widths = [_width(size, side) for side in sides]
        self.first = spectral_norm(nn.Conv2d(channels, widths[0], 3, padding=1))
        self.blocks = nn.ModuleList(_Halving(above, below) for above, below in pairwise(widths))
        self.summary = spectral_norm(nn.Conv2d(widths[-1], _SUMMARY_CHANNELS, sides[-1]))
        self.real = spectral_norm(nn.Linear(_SUMMARY_CHANNELS, 1))
        self.of_class = spectral_norm(nn.Embedding(class_count, _SUMMARY_CHANNELS))
        decoder: list[nn.Module] = []
        for below, above in zip(widths[-2:0:-1], widths[-3:0:-1], strict=False):
            decoder += [nn.Upsample(scale_factor=2), nn.Conv2d(below, above, 3, padding=1), nn.LeakyReLU(0.2)]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(widths[1], channels, 3, padding=1), nn.Tanh())

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs of `judge` and `redraw`: features of the whole image, and the level before, which still has positions."""
        values = _leaky(self.first(images))
        for block in self.blocks:
            before, values = values, block(values)
        return _leaky(self.summary(values)).flatten(1), before

    def judge(self, summary: Tensor, labels: Tensor) -> Tensor:
        """(N,): positive for photos of this class."""
        logits: Tensor = self.real(summary).squeeze(1) + (self.of_class(labels) * summary).sum(1)
        return logits

    def redraw(self, features: Tensor) -> Tensor:
        """(N, channels, size / 2, size / 2) in -1..1."""
        images: Tensor = self.decoder(features)
        return images

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.judge(self.features(images)[0], labels)


class ClassNorm(nn.Module):
    """Batch normalisation whose scale and offset belong to the class."""

    def __init__(self, channels: int, class_count: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding.from_pretrained(torch.ones(class_count, channels), freeze=False)
        self.offset = nn.Embedding.from_pretrained(torch.zeros(class_count, channels), freeze=False)

    def forward(self, values: Tensor, labels: Tensor) -> Tensor:
        normalised: Tensor = self.norm(values)
        return normalised * self.scale(labels)[:, :, None, None] + self.offset(labels)[:, :, None, None]


class _Halving(nn.Module):
    """Halve the side: a strided convolution in parallel to a plain average, so that gradients reach the first layer."""

    def __init__(self, above: int, below: int) -> None:
        super().__init__()
        self.strided = _normed(nn.Conv2d(above, below, 4, stride=2, padding=1, bias=False))
        self.plain = _normed(nn.Conv2d(above, below, 1, bias=False))

    def forward(self, values: Tensor) -> Tensor:
        halved: Tensor = (self.strided(values) + self.plain(functional.avg_pool2d(values, 2))) / 2
        return halved


def _normed(convolution: nn.Conv2d) -> nn.Module:
    """With spectral norm alone, values become smaller from layer to layer, until all photos look the same."""
    return nn.Sequential(spectral_norm(convolution), nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(0.2))


def _gate(low: int, high: int) -> nn.Module:
    """Skip-layer excitation: the coarse level says how much of each fine channel to use."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(4),
        spectral_norm(nn.Conv2d(low, high, 4)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(high, high, 1)),
        nn.Sigmoid(),
    )


def _sides(size: int) -> list[int]:
    """From 4 or 6 px, doubling, to `size`."""
    sides = [size]
    while sides[0] % 2 == 0 and sides[0] > 7:
        sides.insert(0, sides[0] // 2)
    return sides


def _width(size: int, side: int) -> int:
    return min(_WIDEST, _NARROWEST * size // side)


def _leaky(values: Tensor) -> Tensor:
    return functional.leaky_relu(values, 0.2)
