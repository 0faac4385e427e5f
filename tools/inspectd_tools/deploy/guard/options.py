"""What fit_guard.py is asked for; some of it, build_engine.py, too."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FitOptions:
    engine: Path
    data: Path
    calibration: Path | None
    test: Path | None
    out: Path
    rejected: float
    surface: Path | None
    seed: int


def add_guard_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rejected",
        type=_small_share,
        default=0.01,
        metavar="X",
        help="the guard may reject at most this share of the good photos that choose its limits, from 0 to 0.2; default: 0.01",
    )
    parser.add_argument(
        "--surface",
        type=Path,
        metavar="WEIGHTS",
        help="also train a network that finds faults anywhere on a surface, for products that can't be compared place by place or "
        "have photos of several sizes; file with pretrained weights of MobileNetV2, as in train.py",
    )


def _small_share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 0.2:
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 0.2")
    return value
