"""One training in several processes, started by torchrun. Each process takes its share of every batch; all get the same weights.

The batch size stays that of the settings, so N processes make the training faster and do not change it. For this, batch
normalisation counts over the whole batch (torch's SyncBatchNorm does that on a GPU only), and gradients are averaged once per
step. Outside of torchrun, all functions here do nothing.

Processes on GPUs talk by NCCL, which only moves tensors on GPUs; on the CPU they talk by gloo.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, if it did. `device`: where this process computes."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    on_gpu = device.type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo", device_id=device if on_gpu else None)
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(batch: Tensor) -> Tensor:
    """The share of this process in a batch: every n-th along the first axis."""
    return batch[dist.get_rank() :: count()] if dist.is_initialized() else batch


def wait() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def total(values: Tensor) -> Tensor:
    """The sum over the processes; it can be differentiated twice."""
    return cast(Tensor, _Total.apply(values)) if dist.is_initialized() else values  # type: ignore[no-untyped-call]


def average_gradients(module: nn.Module) -> None:
    """Replace the gradients by their mean over the processes."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(joined)
    for gradient, mean in zip(gradients, joined.div_(count()).split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def synchronise_batch_norm(module: nn.Module) -> None:
    """Make every batch normalisation in `module` count over all processes."""
    if not dist.is_initialized():
        return
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = _SynchronisedBatchNorm


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())


class _SynchronisedBatchNorm(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        n = input.numel() // input.shape[1] * count()
        with torch.autocast(input.device.type, enabled=False):
            values = input.float()
            mean = total(values.sum((0, 2, 3))) / n
            offset = values - mean[:, None, None]
            variance = total(offset.square().sum((0, 2, 3))) / n
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
                self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)  # type: ignore[union-attr, arg-type]
                self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            scale = self.weight * (variance + self.eps).rsqrt()
            return (offset * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)
