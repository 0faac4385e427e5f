"""What evaluate.py is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspectd_tools.data.manifest import Split

TORCH: Final = "torch"
"""The backend of a training run."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    model: Path
    data: Path | None
    split: Split
    unknown: list[Path]
    out: Path
    limit: int | None
    backend: str | None
    precision: str
    device: str
    """Where a run computes; an engine computes where its backend does."""
    convert_trt: bool
    calc_speed: bool
