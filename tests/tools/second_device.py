"""A second device, as strict as a GPU, on a machine without one: a tensor that was left on the CPU is an error there.

Its tensors hold CPU tensors, which compute. So a network can be moved, trained, saved and loaded for real, and every operation
sees whether its arguments are on one device. As with CUDA, a scalar may come from the CPU.
"""

from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_BETWEEN = {"copy_", "_to_copy"}
"""Operations that move values from one device to another."""


class Second(torch.Tensor):
    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Second":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        for tensor in given:
            if name not in _BETWEEN and not isinstance(tensor, Second) and tensor.dim():
                raise RuntimeError(f"{func}: a tensor of shape {tuple(tensor.shape)} was left on {tensor.device}")
        leaves = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if leaves or name == "_local_scalar_dense":
            return found
        known = {id(tensor.held): tensor for tensor in given if isinstance(tensor, Second)}
        return tree_map(
            lambda value: known.get(id(value), Second(value)) if type(value) is torch.Tensor else value, found
        )


def _held(value: Any) -> Any:
    if isinstance(value, Second):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Second:
    return Second(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Second:
    return Second(torch.empty_strided(size, stride, dtype=dtype))


class _Module:
    """What torch asks of a device's module."""

    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    is_initialized = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    get_rng_state = staticmethod(lambda device: torch.empty(0, dtype=torch.uint8))
    set_rng_state = staticmethod(lambda state, device: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])


_setup_privateuseone_for_python_backend("second", backend_module=_Module())
DEVICE = torch.device("second", 0)
_REST = torch.library.Library("_", "IMPL")
_REST.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # it never rounds to bf16
_LIBRARY = torch.library.Library("aten", "IMPL")
_LIBRARY.impl("empty.memory_format", _empty, "PrivateUse1")
_LIBRARY.impl("empty_strided", _empty_strided, "PrivateUse1")
