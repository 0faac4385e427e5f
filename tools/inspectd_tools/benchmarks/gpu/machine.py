"""The machine, and the tests that need its GPU."""

import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from inspectd_tools.benchmarks.gpu.plan import NotRun, Place
from inspectd_tools.device import card, resolve
from inspectd_tools.training.run_folder import git_commit

_PACKAGES = (
    "torch",
    "torchvision",
    "cuda-bindings",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "openvino",
    "onnxruntime",
    "onnx",
    "pypylon",
)


def machine(place: Place) -> Iterator[dict[str, Any]]:
    device = resolve(place.device)
    yield {
        "card": card(device),
        "torch built for CUDA": torch.version.cuda,
        "packages": ", ".join(map(_version, _PACKAGES)),
    }
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        free, total = torch.cuda.mem_get_info(device)
        yield {
            "compute capability": f"{capability[0]}.{capability[1]}",
            "free MiB": free >> 20,
            "total MiB": total >> 20,
        }
    yield {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "git_commit": git_commit()}


def tests(place: Place) -> Iterator[dict[str, Any]]:
    if importlib.util.find_spec("pytest") is None:
        raise NotRun("pytest is not installed")
    root = Path(__file__).parents[4]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=-ra",
        str(root / "tests" / "gpu"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    print(ended.stdout, ended.stderr)
    words = re.findall(r"(\d+) (passed|failed|skipped|error)", ended.stdout.splitlines()[-1] if ended.stdout else "")
    yield {kind: int(count) for count, kind in words}
    if ended.returncode:
        raise SystemExit(f"pytest ended with exit code {ended.returncode}; see tests.log")


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
