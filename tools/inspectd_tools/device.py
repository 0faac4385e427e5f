"""The device that a training or another tool computes on: the CPU, or an NVIDIA GPU (CUDA).

Random numbers that decide the order of the photos, their changes and the first weights are drawn on the CPU, so they are the
same on every device. What is left is rounding: each device adds in another order.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from inspectd.errors import ConfigError
from inspectd.inference.openvino import has_bf16

CPU = torch.device("cpu")

T = TypeVar("T")


def resolve(wanted: str) -> torch.device:
    """The device for `--device`: auto, cpu, cuda or cuda:<number>. Under torchrun, each process gets a GPU of its own.

    On a GPU, float32 then means float32 in convolutions too, and not TF32 with its 10 bits. Raises ConfigError.
    """
    kind, _, number = wanted.partition(":")
    processes, own = (int(os.environ.get(name, usual)) for name, usual in (("LOCAL_WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and count < processes):
        return CPU
    if not count:
        raise ConfigError(f"--device {wanted}: torch {torch.__version__} finds no NVIDIA GPU; {_advice()}")
    if number and processes > 1:
        raise ConfigError(f"--device {wanted}: each process of torchrun takes its own GPU; give --device cuda")
    place = int(number or own)
    if place >= count or count < processes:
        raise ConfigError(
            f"--device {wanted}: needs GPU number {max(place, processes - 1)}, but torch finds {count}, counted from 0"
        )
    device = torch.device("cuda", place)
    torch.cuda.set_device(device)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return device


def card(device: torch.device) -> str | None:
    """Name of the GPU; None for the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`. On its way to a GPU it is copied while the CPU goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def on_cpu(state: Any) -> Any:
    """A copy of nested dictionaries, lists and tuples whose tensors are on the CPU, so that a saved file fits every device."""
    match state:
        case Tensor():
            return state.detach().cpu()
        case dict():
            return {key: on_cpu(value) for key, value in state.items()}
        case list():
            return [on_cpu(value) for value in state]
        case tuple():
            return tuple(map(on_cpu, state))
    return state


def in_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than float32 there."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else has_bf16()


def ahead(items: Iterator[T], device: torch.device) -> Iterator[T]:
    """The same items. For a GPU, a thread prepares the next one while this one is used."""
    if device.type != "cuda":
        yield from items
        return
    with ThreadPoolExecutor(1, "batches") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _advice() -> str:
    if torch.version.cuda is None:
        return "this torch is built for the CPU only; install the build for CUDA, or give --device cpu"
    return "see what nvidia-smi says, or give --device cpu"
