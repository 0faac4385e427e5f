"""What further photos would buy: a lower bound on what passes, and a narrower interval of the good labels that are rejected."""

import math
from collections.abc import Sequence

from rich.table import Table

from inspectd.binomial import interval, upper_bound
from inspectd.learning.by_kind import ByKind
from inspectd.learning.rates import CONFIDENCE, Values, false_rejects
from inspectd_tools.deploy.card.markdown import table

_MORE = (0, 10, 25, 50, 100)
_HEADER = (
    "photos of more parts",
    "faulty that pass, at most",
    "unknown that pass, at most",
    "good rejected, 95 % interval",
)
_CAPTION = "if the same shares pass and are rejected as now"


def bounds(kinds: ByKind, threshold: float, more: int) -> tuple[float, float]:
    """On the faulty and on the unknown parts that pass, with `more` parts of each fault and `more` unknown ones, if the same shares
    pass. NaN without such parts.
    """
    return (
        _bound(kinds.all_faulty, threshold, more * len(kinds.faulty)),
        _bound(kinds.all_unknown, threshold, more),
    )


def worth(kinds: ByKind, threshold: float) -> list[tuple[str, str, str, str]]:
    """A row for the calibration parts of now, and for 10 to 100 more of the good class, of each fault and of unknowns."""
    good = len(kinds.good)
    share = false_rejects(kinds.good, threshold).share
    rows = []
    for more in _MORE:
        n = good + more
        low, high = interval(round(share * n), n, CONFIDENCE)
        faulty, unknown = map(_shown, bounds(kinds, threshold, more))
        rows.append((f"+{more} of each" if more else "none", faulty, unknown, f"{low:.1%} to {high:.1%}"))
    return rows


def worth_table(rows: Sequence[tuple[str, ...]]) -> Table:
    shown = Table(*_HEADER, title="What further photos would buy", caption=_CAPTION)
    for row in rows:
        shown.add_row(*row)
    return shown


def section(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Of the card."""
    return [
        "## Further photos",
        "",
        "What photos of more parts would buy: of the good class, of each fault and of unknowns. The bounds are what so many parts "
        f"show at {CONFIDENCE:.0%} confidence, {_CAPTION}. More photos also make the network better; this is not "
        "counted here.",
        *table(_HEADER, rows),
    ]


def _bound(values: Values, threshold: float, more: int) -> float:
    n = len(values) + more
    passed = int((values >= threshold).sum())
    return upper_bound(-(-passed * n // max(1, len(values))), n, CONFIDENCE) if n else math.nan  # rounded up


def _shown(bound: float) -> str:
    return "not known" if math.isnan(bound) else f"{bound:.2%}"
