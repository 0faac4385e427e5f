"""Take a few members of a sequence."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def spread(members: Sequence[T], count: int) -> list[T]:
    """At most `count` members, evenly spread from the first to the last."""
    places = np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int)
    return [members[place] for place in places]
