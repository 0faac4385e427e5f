"""How long things take. What is compared takes turns, so that other work on the machine slows all of them alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

_BLOCK = 10
_WARM_UP = 3
_Name = TypeVar("_Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one image at a time."""

    p50_ms: float
    p99_ms: float
    images_per_s: float

    @classmethod
    def of(cls, took_ms: NDArray[np.float64]) -> Self:
        """From the times of single runs, (N,) in ms."""
        p50, p99 = np.percentile(took_ms, (50, 99))
        return cls(float(p50), float(p99), float(1000 / took_ms.mean()))


def interleaved(candidates: Mapping[_Name, Callable[[], object]], runs: int) -> dict[_Name, NDArray[np.float64]]:
    """ms of each of `runs` runs, rounded up to tens. Candidates take turns: ten runs each, after three that are not counted."""
    took_ms: dict[_Name, list[float]] = {name: [] for name in candidates}
    for _ in range(-(-runs // _BLOCK)):
        for name, run in candidates.items():
            for number in range(_WARM_UP + _BLOCK):
                begin_ns = time.perf_counter_ns()
                run()
                if number >= _WARM_UP:
                    took_ms[name].append((time.perf_counter_ns() - begin_ns) / 1e6)
    return {name: np.array(values) for name, values in took_ms.items()}
