"""Values of the journal that are more than one number or text, read so that a damaged one makes no page fail."""

import json
import math
from typing import Any


def texts_in(cell: Any) -> list[str] | None:
    """A list of texts, kept as JSON; None if it can't be read."""
    return _list_in(cell, str)


def numbers_in(cell: Any) -> list[float] | None:
    """A list of numbers, kept as JSON; None if it can't be read."""
    found = _list_in(cell, float, int)
    return found if found is not None and all(map(math.isfinite, found)) else None


def _list_in(cell: Any, *kinds: type) -> list[Any] | None:
    try:
        found = json.loads(cell)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, list) and all(type(each) in kinds for each in found) else None
