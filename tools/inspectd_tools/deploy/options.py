"""What build_engine.py is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Wanted = Literal["fp32", "bf16", "int8", "auto"]
WANTED: tuple[Wanted, ...] = get_args(Wanted)


@dataclass(frozen=True, slots=True)
class Options:
    run: Path
    name: str
    version: str
    data: Path | None
    calibration: Path | None
    test: Path | None
    alpha: tuple[float, ...] | None
    good_rejected: float | None
    precision: Wanted
    tensorrt: Literal["fp16", "int8"] | None
    guard_photos: Path | None
    no_guard: bool
    rejected: float
    surface: Path | None
    out: Path
