"""What further photos would buy: a lower bound on what passes, and a narrower interval of the good labels that are rejected."""

from collections.abc import Sequence

from rich.table import Table

from inspectd.binomial import interval, upper_bound
from inspectd_tools.deploy.by_kind import ByKind
from inspectd_tools.deploy.card.markdown import table
from inspectd_tools.metrics.rates import CONFIDENCE, false_rejects

_MORE = (0, 10, 25, 50, 100)
_HEADER = (
    "photos of more parts",
    "faulty that pass, at most",
    "unknown that pass, at most",
    "good rejected, 95 % interval",
)
_CAPTION = "if no faulty or unknown part passes, and as many good ones are rejected as now"


def worth(kinds: ByKind, threshold: float) -> list[tuple[str, str, str, str]]:
    """A row for the calibration parts of now, and for 10 to 100 more of the good class, of each fault and of unknowns."""
    faulty, unknown, good = len(kinds.all_faulty), len(kinds.all_unknown), len(kinds.good)
    share = false_rejects(kinds.good, threshold).share
    rows = []
    for more in _MORE:
        n = good + more
        low, high = interval(round(share * n), n, CONFIDENCE)
        rows.append(
            (
                f"+{more} of each" if more else "none",
                _bound(faulty + more * len(kinds.faulty)),
                _bound(unknown + more),
                f"{low:.1%} to {high:.1%}",
            )
        )
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
        "What photos of more parts would buy: of the good class, of each fault and of unknowns. The bounds are the lowest that so "
        f"many parts can show at {CONFIDENCE:.0%} confidence, {_CAPTION}. More photos also make the network better; this is not "
        "counted here.",
        *table(_HEADER, rows),
    ]


def _bound(n: int) -> str:
    return f"{upper_bound(0, n, CONFIDENCE):.2%}" if n else "not known"
