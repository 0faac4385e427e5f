"""Batch normalisation that is fast when the backward pass is differentiated too, as a gradient penalty does.

For that, torch's own batch normalisation takes about thirty passes over each feature map. The derivatives below are worked out by
hand and take a few.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def differentiate_twice(module: nn.Module) -> None:
    """Make every batch normalisation in `module` use the derivatives below."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = _BatchNorm


class _BatchNorm(nn.BatchNorm2d):
    """(N, C, H, W) -> the same, as torch's (Ioffe and Szegedy, "Batch normalization", 2015)."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return cast(
            Tensor,
            _Normalise.apply(  # type: ignore[no-untyped-call]
                input, self.weight, self.bias, self.running_mean, self.running_var, self.momentum, self.eps
            ),
        )


class _Normalise(torch.autograd.Function):
    """y = w x^ + b with x^ = (x - mean) r, r = 1 / sqrt(variance + eps)"""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w: Tensor,
        b: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, r = torch.native_batch_norm(x, w, b, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, w, mean, r)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = _NormaliseBackward.apply(gradients[0], *ctx.saved_tensors, ctx.eps)  # type: ignore[no-untyped-call]
        return (*found, None, None, None, None)


class _NormaliseBackward(torch.autograd.Function):
    """dx = w r (dy - p - x^ q), dw = n q, db = n p, with p = mean(dy), q = mean(dy x^)"""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor, w: Tensor, mean: Tensor, r: Tensor, eps: float) -> tuple[Tensor, ...]:
        dx, dw, db = _backward(dy, x, w, mean, r, eps)
        ctx.save_for_backward(dy, x, w, mean, r, dw, db)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return dx, dw, db

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, g_dw: Tensor | None, g_db: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the loss with respect to dy, x and w, from the gradient with respect to dx."""
        if g_dw is not None or g_db is not None:
            raise NotImplementedError("the second derivative through a gradient of the weights")
        dy, x, w, mean, r, dw, db = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        p, q = db / n, dw / n
        # the first derivative is linear in dy and its own transpose
        of_dy, g_dw, g_db = _backward(g, x, w, mean, r, ctx.eps)
        s, t = g_db / n, g_dw / n
        u = (g * dy).sum((0, 2, 3), dtype=w.dtype) / n
        inner = u - p * s - q * t
        # through x^ in the sum of g dx, and through r
        by_x = w * r * r * (2 * q * t - inner) * r
        constant = w * r * r * (t * p + q * s) - by_x * mean
        of_x = _spread(by_x, x).mul(x).add_(_spread(constant, x))
        of_x.addcmul_(dy, _spread(-w * r * r * t, x)).addcmul_(g, _spread(-w * r * r * q, x))
        return of_dy, of_x, inner * r * n, None, None, None


def _backward(dy: Tensor, x: Tensor, w: Tensor, mean: Tensor, r: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    # with another memory layout than x it takes ten times longer
    is_last = x.is_contiguous(memory_format=torch.channels_last)
    dy = dy.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)
    found = torch.ops.aten.native_batch_norm_backward(dy, x, w, None, None, mean, r, True, eps, [True, True, True])
    return cast(tuple[Tensor, Tensor, Tensor], found)


def _spread(per_channel: Tensor, like: Tensor) -> Tensor:
    return per_channel[:, None, None].to(like.dtype)
