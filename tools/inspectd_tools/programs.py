"""The programs of these tools by name. One whose library is not installed says which extra of inspectd has it.

A library is imported only when a program that needs it starts: the daemon's installation has none of them.
"""

import os
from functools import partial
from importlib import import_module

from inspectd.terminal import print_error

_EXTRAS = {"ray": "ray", "tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx", "pymodbus": "modbus"}
"""Library -> extra that installs it; all others are in `train`."""


def _start(module: str, name: str) -> int:
    try:
        return int(import_module(module).main())
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "inspectd", "inspectd_tools"):
            raise
        extra = _EXTRAS.get(library, "train")
        needed = f"needs the extra `{extra}`, because {library} is not installed: pip install 'inspectd[{extra}]'"
        print_error(name, RuntimeError(needed))
        return os.EX_CONFIG


def _program(module: str, name: str) -> partial[int]:
    return partial(_start, f"inspectd_tools.{module}", f"inspectd-{name}")


benchmark = _program("benchmarks.cli", "benchmark")
build_engine = _program("deploy.cli", "build-engine")
evaluate = _program("evaluation.cli", "evaluate")
experiments = _program("experiments.cli", "experiments")
explain = _program("explain.cli", "explain")
fit_guard = _program("deploy.guard.cli", "fit-guard")
gan = _program("synthetic.gan.cli", "gan")
pod = _program("detectability.cli", "pod")
prepare_data = _program("data.prepare", "prepare-data")
profile_models = _program("benchmarks.model_cost", "profile-models")
reader = _program("text.cli", "reader")
sweep = _program("experiments.sweep", "sweep")
synthesize = _program("synthetic.cli", "synthesize")
train = _program("training.cli", "train")
