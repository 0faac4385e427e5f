"""Tests that need an NVIDIA GPU. They have not run so far; `tools/benchmark.py gpu` runs them where there is one."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _lacks()
    for item in items:
        if "tests/gpu" in item.nodeid or item.nodeid.startswith("gpu"):
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _lacks() -> str:
    try:
        import torch
        from cuda.bindings import runtime
    except ImportError as error:
        return f"needs a GPU, PyTorch and cuda-bindings: {error}"
    error, count = runtime.cudaGetDeviceCount()
    if error != runtime.cudaError_t.cudaSuccess or not count:
        return f"needs a GPU: {error.name}"
    return "" if torch.cuda.is_available() else f"needs a GPU: torch {torch.__version__} finds none"
