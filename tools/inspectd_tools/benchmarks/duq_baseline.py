"""A straightforward implementation of the DUQ paper in eager float32, to compare the training step with.

It shares only the shape of the network with the training tools: K_c itself instead of its logarithm, one einsum per batch,
everything in float32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Baseline(nn.Module):
    """(N, 1, 28, 28) -> (N, classes): K_c."""

    sums: Tensor
    counts: Tensor

    def __init__(self, class_count: int, length_scale: float, gamma: float) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            *_block(1, 64, 1), *_block(64, 128, 1), *_block(128, 128, 0), nn.Flatten(), nn.Linear(512, 256), nn.ReLU()
        )
        self.length_scale, self.gamma = length_scale, gamma
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(256, class_count, 256)))
        self.register_buffer("counts", torch.full((class_count,), 13.0))
        self.register_buffer("sums", 0.05 * 13 * torch.randn(256, class_count))

    def embed(self, images: Tensor) -> Tensor:
        return torch.einsum("nf,mkf->nmk", self.backbone(images), self.weight)

    def forward(self, images: Tensor) -> Tensor:
        offset = self.embed(images) - self.sums / self.counts
        return torch.exp(-offset.square().mean(1) / (2 * self.length_scale**2))


def _block(before: int, after: int, padding: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=padding), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]


def baseline_step(
    model: Baseline, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor, penalty: float
) -> None:
    """Equations 3 to 6 of the paper, one after the other."""
    one_hot = functional.one_hot(labels, len(model.counts)).float()
    model.train()
    optimizer.zero_grad()
    inputs.requires_grad_(True)
    kernel = model(inputs)
    loss = functional.binary_cross_entropy(kernel, one_hot)
    (gradient,) = torch.autograd.grad(kernel.sum(), inputs, create_graph=True)
    norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    (loss + penalty * (norm - 1).square().mean()).backward()
    optimizer.step()
    with torch.no_grad():
        model.eval()
        embedded = model.embed(inputs)
        model.counts.mul_(model.gamma).add_(one_hot.sum(0), alpha=1 - model.gamma)
        model.sums.mul_(model.gamma).add_(torch.einsum("nmk,nk->mk", embedded, one_hot), alpha=1 - model.gamma)
