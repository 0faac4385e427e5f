"""The steps of the run, in the order of what matters most, and what each of them is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspectd.errors import InspectdError


class NotRun(InspectdError):
    """What the step needs is not on this machine."""


class StepsFailed(InspectdError):
    """A step failed or took too long. The report says why."""

    exit_code = 1


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
    """After so long it is ended; what it has found by then is kept. The last step of a run gets all the time that is left."""


STEPS: Final = {
    "machine": Step("card, driver and versions", 15),
    "tests": Step("pytest -m gpu", 40),
    "swaps": Step("200 engine swaps: memory of the GPU before and after", 50),
    "parity": Step("each backbone on each runtime: time at batch 1, difference to fp32 on the CPU", 90),
    "lost": Step("an error that the GPU does not recover from, on a running line", 30),
    "line": Step("the daemon with an emulated camera at 100, 200 and 400 parts/s", 45),
    "step": Step("the DUQ training step: images/s, and its losses compared with those of the CPU", 30),
    "faster": Step("what torch.compile and a CUDA graph of the whole step would gain", 40),
    "fashion": Step("FashionMNIST, three seeds at once, as far as the time goes", 70),
    "cifar": Step("CIFAR10 with DUQ, as far as the time goes", 30),
}
