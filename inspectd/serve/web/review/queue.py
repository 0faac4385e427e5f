"""Which parts Review shows, and in which order: rejects, uncertain parts, passes drawn at random, and what is near the threshold.

Pages follow each other by key and not by number: the last one is as quick as the first one, and new parts shift nothing.
"""

import hashlib
import math
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

SHOWS: Final = {
    "queue": "all that needs a look",
    "rejects": "rejects",
    "uncertain": "uncertain ones",
    "passes": "passes drawn at random",
    "near": "near the threshold",
}
SEEN: Final = {
    "open": "not decided by me",
    "nobody": "not decided by anybody",
    "reviewed": "decided",
    "disagreement": "reviewers disagree",
    "all": "decided or not",
}
SORTS: Final = {"newest": "newest first", "nearest": "nearest to the threshold first"}
VERDICTS: Final = {"": "any verdict", "fault": "fault", "uncertain": "uncertain", "missed": "missed", "pass": "pass"}

_NEAR = 0.1
"""Near the threshold: at most this share of the way from the threshold to 1 away, on both sides."""

_NONE: Final = "0"
_SHOW: Final = {
    "queue": ("1", "(is_drawn(id) OR certainty < :near_to)"),
    "rejects": ("1", _NONE),
    "uncertain": ("verdict = 'uncertain'", _NONE),
    "passes": (_NONE, "is_drawn(id)"),
    "near": ("certainty BETWEEN :near_from AND :near_to", "certainty <= :near_to"),
}
"""Which rejects and which passes."""
# By index, for each part. `(id, t_utc_ns) IN (SELECT ...)` searches all reviews for each part that is not among them.
_LABEL: Final = (
    "EXISTS (SELECT 1 FROM reviews.labels WHERE part = parts.id AND t_trigger_utc_ns = parts.t_utc_ns AND reviewers > 0"
)
_BY_ME: Final = "EXISTS (SELECT 1 FROM reviews.said WHERE label = labels.id AND by = :reviewer)"
_SEEN: Final = {
    "open": f"NOT {_LABEL} AND {_BY_ME})",
    "nobody": f"NOT {_LABEL})",
    "reviewed": f"{_LABEL})",
    "disagreement": f"{_LABEL} AND agreed IS NULL)",
    "all": "1",
}
_REJECTS: Final = "verdict <> 'pass' AND (class IS NOT NULL OR image IS NOT NULL)"
"""A label without an image that was not inspected can't be reviewed."""
_PASSES: Final = "verdict = 'pass' AND image IS NOT NULL"


_ORDER: Final = {
    "newest": ("-id", "id < :id", "id DESC"),
    "nearest": (
        "abs(certainty - :threshold)",
        "(abs(certainty - :threshold), id) > (:key, :id)",  # not true of a part without certainty
        "1, 2",
    ),
}
"""What the parts are sorted by, what comes after a part, and both in SQL. Equal keys are sorted by part number."""
_NEWEST_STORED: Final = "coalesce((SELECT id FROM parts WHERE t_utc_ns <= :stored ORDER BY t_utc_ns DESC LIMIT 1), 0)"
_STORED_NS: Final = 3 * 10**9
"""So long after a label its image is stored, if it is kept at all."""
_LATEST_NS: Final = 2**63 - 1
_BEGIN: Final = (-1.0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reviewer wants to see. Empty: no limit."""

    show: str = "queue"
    seen: str = "open"
    sort: str = "newest"
    verdict: str = ""
    predicted: str = ""
    """The class with the highest score."""
    field: str = ""
    """Name of a text or code that is wrong."""
    engine: int | None = None
    """Number of the engine in the journal."""
    since: str = ""
    """Local time, such as 2026-11-28T06:00."""
    until: str = ""
    newer_than: int | None = None
    """Only parts with a higher number whose image has had the time to be stored."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """What decides beside the filters."""

    threshold: float
    """Of the engine in use."""
    share: float
    """The share of passes that is drawn."""
    reviewer: str


@dataclass(frozen=True, slots=True)
class Page:
    numbers: tuple[int, ...]
    """Part numbers in the order of the filters."""
    after: str | None
    """Where the next page begins; None: this was the last one."""


def read_filters(query: Mapping[str, str]) -> Filters:
    """Filters from the address of a page. Raises ValueError that says which value is wrong and what is allowed."""
    for key, allowed in (("show", SHOWS), ("seen", SEEN), ("sort", SORTS), ("verdict", VERDICTS)):
        if query.get(key, "") not in ("", *allowed):
            raise ValueError(f"{key}: allowed are {', '.join(filter(None, allowed))}")
    engine = query.get("engine", "")
    if engine and not (engine.isascii() and engine.isdigit() and len(engine) < 10):
        raise ValueError("engine: must be the number of an engine")
    newer_than = query.get("newer_than", "")
    if newer_than and not (newer_than.isascii() and newer_than.isdigit() and len(newer_than) < 19):
        raise ValueError("newer_than: must be the number of a part")
    for key in ("since", "until"):
        if query.get(key):
            _ns(key, query[key])
    return Filters(
        show=query.get("show") or "queue",
        seen=query.get("seen") or "open",
        sort=query.get("sort") or "newest",
        verdict=query.get("verdict", ""),
        predicted=query.get("predicted", "")[:200],
        field=query.get("field", "")[:200],
        engine=int(engine) if engine else None,
        since=query.get("since", ""),
        until=query.get("until", ""),
        newer_than=int(newer_than) if newer_than else None,
    )


def next_page(connection: sqlite3.Connection, filters: Filters, chooser: Chooser, after: str, limit: int) -> Page:
    """The next `limit` parts. `connection`: to the journal, with the reviews attached; `after`: "" begins.

    Raises ValueError if `after` did not come from a page before; sqlite3.Error.
    """
    connection.create_function("is_drawn", 1, lambda part: _draw(part) < chooser.share, deterministic=True)
    terms, values = _conditions(filters, chooser)
    values["key"], values["id"] = _read_cursor(after) if after else _BEGIN
    values["limit"] = limit + 1
    key, further, order = _ORDER[filters.sort]
    found: list[tuple[float, int]] = []
    for kind, shown in zip((_REJECTS, _PASSES), _SHOW[filters.show], strict=True):
        where = " AND ".join((kind, shown, *terms, further))
        sql = f"SELECT {key}, id FROM parts WHERE {where} ORDER BY {order} LIMIT :limit"  # noqa: S608
        found += map(tuple, connection.execute(sql, values))
    found.sort()
    shown_now = found[:limit]
    last = f"{shown_now[-1][0]!r},{shown_now[-1][1]}" if len(found) > limit else None
    return Page(tuple(number for _, number in shown_now), last)


def _read_cursor(after: str) -> tuple[float, int]:
    """Key and number of the last part of the page before."""
    key, _, number = after.partition(",")
    try:
        cursor = float(key), int(number)
    except ValueError as error:
        raise ValueError("after: must come from a page before") from error
    if not math.isfinite(cursor[0]) or abs(cursor[1]) >= 2**63:
        raise ValueError("after: must come from a page before")
    return cursor


def _conditions(filters: Filters, chooser: Chooser) -> tuple[list[str], dict[str, object]]:
    near = _NEAR * (1 - chooser.threshold)
    values: dict[str, object] = {
        "threshold": chooser.threshold,
        "near_from": chooser.threshold - near,
        "near_to": chooser.threshold + near,
        "reviewer": chooser.reviewer,
        "verdict": filters.verdict,
        "predicted": filters.predicted,
        "field": filters.field,
        "engine": filters.engine,
        "since": _ns("since", filters.since) if filters.since else None,
        "until": _ns("until", filters.until) if filters.until else None,
        "newer_than": filters.newer_than,
        "stored": time.time_ns() - _STORED_NS,
    }
    terms = {
        _SEEN[filters.seen]: True,
        "verdict = :verdict": filters.verdict,
        "class = :predicted": filters.predicted,
        "id IN (SELECT part FROM texts WHERE field = :field AND verdict <> 'right')": filters.field,
        "engine = :engine": filters.engine,
        "t_utc_ns >= :since": filters.since,
        "t_utc_ns < :until": filters.until,
        f"id > :newer_than AND id <= {_NEWEST_STORED}": filters.newer_than is not None,
    }
    return [term for term, is_wanted in terms.items() if is_wanted], values


def _draw(part: int) -> float:
    """In 0..1, the same for a part at every time, and as good as random from part to part."""
    digest = hashlib.blake2b(str(part).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _ns(key: str, text: str) -> int:
    try:
        ns = int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{key}: must be a time such as 2026-11-28T06:00") from error
    return max(-_LATEST_NS, min(ns, _LATEST_NS))
