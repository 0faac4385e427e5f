"""Which ways of looking a guard keeps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspectd.guard import limits
from inspectd.guard.model import Guard
from inspectd.part import Image
from inspectd_tools.deploy.guard.surface.faults import one_fault

_CLEARLY = 2.0
"""Standard deviations."""


def choose(candidates: Sequence[Guard], good: Sequence[Image], rejected: float, seed: int) -> Guard:
    """The first one, unless another finds clearly more of the faults drawn into `good`, (h, w) uint8 grey.

    Each has limits that reject at most the share `rejected` of these images as they are. Drawn faults are all damage; what is
    missing or moved is not among them. So a small lead does not count.
    """
    faulty = [one_fault(image, np.random.default_rng([seed, number])) for number, image in enumerate(good)]

    def found(guard: Guard) -> NDArray[np.bool_]:
        chosen = limits.fit([guard.judge(image) for image in good], rejected)
        return np.array([not chosen.accepts(guard.judge(image)) for image in faulty])

    first, *others = (found(guard) for guard in candidates)

    def lead(other: NDArray[np.bool_]) -> float:
        """By so many standard deviations more than the first (McNemar)."""
        return float((other.sum() - first.sum()) / np.sqrt(max(1, (other ^ first).sum())))

    best = max(range(len(others)), key=lambda number: lead(others[number]))
    return candidates[1 + best] if lead(others[best]) > _CLEARLY else candidates[0]
