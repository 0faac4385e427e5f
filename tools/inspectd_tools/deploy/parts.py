"""Which photos show the same part."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def parts_of(groups: Sequence[str], digests: Sequence[str]) -> NDArray[np.int32]:
    """(N,) the number of the part that each photo shows.

    Photos of one group, and equal files (`digests`: their SHA-256), show one part; so do photos that both belong with a third.
    """
    n, group, file = len(groups), _numbered(groups), _numbered(digests)
    ties = coo_array((np.ones(n), (group, file + n)), shape=(2 * n, 2 * n))
    _, number = connected_components(ties, directed=False)
    part: NDArray[np.int32] = number[group]
    return part


def _numbered(names: Sequence[str]) -> NDArray[np.intp]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.intp)
