"""The steps of the run, in the order of what matters most, and what each of them is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspectd.errors import InspectdError


class NotRun(InspectdError):
    """What the step needs is not on this machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a step is told."""

    out: Path
    """Folder of the whole run; the step writes to a folder of its own name in it."""
    device: str
    """As `--device`."""
    quick: bool
    """A few images and seconds only, to see that the step works."""
    datasets: Path | None
    """Folder with fashion-mnist and cifar10."""


@dataclass(frozen=True, slots=True)
class Step:
    says: str
    seconds: int
    """After so long it is ended; what it has found by then is kept."""


STEPS: Final = {
    "machine": Step("card, driver and versions", 30),
    "tests": Step("pytest -m gpu", 60),
    "swaps": Step("200 engine swaps: memory of the GPU before and after", 90),
    "parity": Step("each backbone on each runtime: time at batch 1, difference to fp32 on the CPU", 120),
    "lost": Step("an error that the GPU does not recover from, on a running line", 45),
    "line": Step("the daemon with an emulated camera at 100, 200 and 400 parts/s", 60),
    "step": Step("the DUQ training step: images/s, and its losses compared with those of the CPU", 60),
    "fashion": Step("FashionMNIST, three seeds", 90),
    "cifar": Step("CIFAR10 with DUQ, as far as the time goes", 90),
}
