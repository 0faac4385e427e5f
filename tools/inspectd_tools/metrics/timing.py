"""How long things take, measured so that other work on the machine hits all of them alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_BLOCK = 10
_WARM_UP = 3
_Name = TypeVar("_Name", bound=Hashable)


def interleaved(candidates: Mapping[_Name, Callable[[], object]], runs: int) -> dict[_Name, NDArray[np.float64]]:
    """ms of each of `runs` runs, rounded up to tens. Candidates take turns, ten runs each after three that don't count."""
    took_ms: dict[_Name, list[float]] = {name: [] for name in candidates}
    for _ in range(-(-runs // _BLOCK)):
        for name, run in candidates.items():
            for number in range(_WARM_UP + _BLOCK):
                begin_ns = time.perf_counter_ns()
                run()
                if number >= _WARM_UP:
                    took_ms[name].append((time.perf_counter_ns() - begin_ns) / 1e6)
    return {name: np.array(values) for name, values in took_ms.items()}
