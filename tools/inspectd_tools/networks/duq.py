"""Deterministic uncertainty quantification: van Amersfoort, Smith, Teh, Gal, ICML 2020 (arXiv:2003.02037).

Everything is computed from log K_c = -mean((W_c f - e_c)^2) / (2 sigma^2), which stays exact where K_c itself
underflows to 0.
"""

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from inspectd.learning import head
from inspectd_tools.distributed import total

_FEWEST = 1e-6
"""Smallest count, so that a class without samples has a centroid that is a number."""


class DuqHead(nn.Module):
    """One linear map and one centroid per class; the score of a class is an RBF kernel to its centroid.

    `sums` (m) and `counts` (N) hold the moving averages of the embedded features per class; both are buffers, so
    they are saved and moved with the weights. Centroids are e_c = m_c / N_c.
    """

    sums: Tensor
    counts: Tensor

    def __init__(
        self,
        feature_size: int,
        class_count: int,
        centroid_size: int,
        length_scale: float,
        gamma: float,
        learn_length_scale: bool = False,
        start: Literal["near", "far"] = "near",
    ) -> None:
        super().__init__()
        self.gamma = gamma
        # its logarithm is learnt, so that it stays positive
        self.log_length_scale = nn.Parameter(torch.tensor(math.log(length_scale)), learn_length_scale)
        self.weight = nn.Parameter(torch.empty(centroid_size, class_count, feature_size))
        if start == "near":
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        else:
            nn.init.normal_(self.weight, std=0.05)
        spread = 0.05 if start == "near" else 1.0
        self.register_buffer("counts", torch.full((class_count,), 13.0))
        self.register_buffer("sums", torch.randn(centroid_size, class_count) * spread * 13.0)

    @property
    def length_scale(self) -> Tensor:
        return self.log_length_scale.exp()

    @property
    def centroids(self) -> Tensor:
        """(centroid_size, classes)"""
        return self.sums / self.counts.clamp(min=_FEWEST)

    def embed(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, centroid_size, classes): W_c f for each class."""
        size, classes, _ = self.weight.shape
        return functional.linear(features, self.weight.flatten(0, 1)).unflatten(1, (size, classes))

    def forward(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, classes): log K_c, at most 0."""
        distance = (self.embed(features) - self.centroids).square().mean(dim=1)
        return -distance / (2 * self.length_scale**2)

    @torch.no_grad()
    def update_centroids(self, features: Tensor, one_hot: Tensor) -> None:
        """Update the moving averages of counts and sums with this batch. (N, features), (N, classes)

        The paper takes the features in evaluation mode, after the optimiser's step.
        """
        embedded = self.embed(features)
        self.counts.lerp_(total(one_hot.sum(0)), 1 - self.gamma)
        self.sums.lerp_(total(torch.einsum("nmk,nk->mk", embedded, one_hot)), 1 - self.gamma)

    @torch.no_grad()
    def fit_means(self, features: Tensor, labels: Tensor) -> None:
        """Move each centroid to the mean of the embedded features of its class; the maps stay. (N, features), (N,)

        Until the last step, the maps move the classes apart, and the moving averages follow late: with gamma 0.999, the centroids
        are a seventh of a length scale behind.
        """
        means = torch.stack([features[labels == place].mean(0) for place in range(self.weight.shape[1])])
        self.sums.copy_(torch.einsum("mkf,kf->mk", self.weight, means))
        self.counts.fill_(1)

    @torch.no_grad()
    def fit_covariance(self, features: Tensor, labels: Tensor) -> None:
        """Replace maps and centroids as `inspectd.learning.head.fit_covariance` says. (N, features), (N,)"""
        size, classes, _ = self.weight.shape
        arrays = features.cpu().numpy(), labels.cpu().numpy()
        fitted = head.fit_covariance(*arrays, classes, size, float(self.length_scale))
        self.weight.copy_(torch.from_numpy(fitted.weight.transpose(1, 0, 2)))
        self.sums.copy_(torch.from_numpy(fitted.centroids.T))
        self.counts.fill_(1)


class FoldedDuqHead(nn.Module):
    """The head as it is exported: one linear layer with -e_c in its bias, mean of the squares, exp. Gives K_c.

    On ONNX Runtime, a MatMul of this size takes 2 % of the time of an Einsum.
    """

    def __init__(self, head: DuqHead) -> None:
        super().__init__()
        size, classes, features = head.weight.shape
        self.shape = (classes, size)
        self.factor = -0.5 / float(head.length_scale) ** 2
        self.linear = nn.Linear(features, classes * size)
        with torch.no_grad():
            self.linear.weight.copy_(head.weight.transpose(0, 1).flatten(0, 1))
            self.linear.bias.copy_(-head.centroids.T.flatten())

    def forward(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, classes): K_c in 0..1."""
        offset = self.linear(features).unflatten(1, self.shape)
        return torch.exp(self.factor * offset.square().mean(dim=2))


def duq_loss(log_kernel: Tensor, targets: Tensor) -> Tensor:
    """(N,): binary cross-entropy of K_c against (smoothed) one-hot labels, mean over the classes, from log K_c.

    log(1 - exp(x)) after Maechler, "Accurately computing log(1 - exp(-|a|))", 2012.
    """
    x = log_kernel.clamp(max=-1e-7)  # at exactly K = 1, the log of 1 - K is -inf
    log_complement = torch.where(
        x > -math.log(2),
        torch.log(-torch.expm1(x.clamp(min=-1.0))),
        torch.log1p(-torch.exp(x)),
    )
    return -(targets * log_kernel + (1 - targets) * log_complement).mean(dim=1)


def duq_loss_of_kernel(log_kernel: Tensor, targets: Tensor) -> Tensor:
    """(N,): the same computed from K_c, as in the code of the paper: logs are at least -100, and K_c < 1e-12 has no gradient."""
    return functional.binary_cross_entropy(log_kernel.exp(), targets, reduction="none").mean(dim=1)


def gradient_penalty(log_kernel: Tensor, inputs: Tensor) -> Tensor:
    """Two-sided penalty mean((||d sum_c K_c / dx||_2 - 1)^2). `inputs` must have required a gradient in the forward pass."""
    total = log_kernel.exp().sum()
    (gradient,) = torch.autograd.grad(total, inputs, create_graph=True)
    norm = cast(Tensor, gradient.flatten(1).norm(dim=1))
    return (norm - 1).square().mean()
