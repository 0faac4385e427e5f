"""The machine of a run: processor, cores, versions. Its name is not recorded."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from inspectd_tools.training.run_folder import git_commit

_LIBRARIES = ("torch", "torchvision", "openvino", "onnxruntime")


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "git_commit": git_commit(),
        "load": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
