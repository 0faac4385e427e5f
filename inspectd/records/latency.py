"""Percentiles of where the time of each part went, exact over any number of parts.

Equal times are counted (they are whole microseconds), so that the memory depends on how many different times there are.
"""

import sqlite3

import numpy as np
from numpy.typing import NDArray

from inspectd.records.accounts import Span

STAGES = (
    "acquire_us",
    "queue_us",
    "preprocess_us",
    "infer_us",
    "guard_us",
    "text_us",
    "record_us",
    "verdict_us",
    "gate_lateness_us",
)
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}

_IDS = "SELECT min(id), max(id) FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ?"
# SQLite joins the numbers of a batch: Python then makes one object per batch, and not one per number.
_BATCH = 50_000
_TIMES = f"""
SELECT {", ".join(f"group_concat({stage})" for stage in STAGES)} FROM parts
WHERE id BETWEEN ? AND ? AND +t_utc_ns >= ? AND +t_utc_ns < ?
"""  # noqa: S608

_Counted = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The different times in us, ascending, and how often each occurs: two (n,) arrays."""


def latency_ms(connection: sqlite3.Connection, span: Span) -> dict[str, dict[str, float]]:
    """Per stage, without `_us` in its name: its percentiles in ms; none for a stage without times. Raises sqlite3.Error."""
    lowest, highest = connection.execute(_IDS, span).fetchone()
    nothing = np.zeros(0, np.int64)
    counted: dict[str, _Counted] = dict.fromkeys(STAGES, (nothing, nothing))
    for first in range(lowest, highest + 1, _BATCH) if lowest is not None else ():
        batch = connection.execute(_TIMES, (first, min(first + _BATCH - 1, highest), *span)).fetchone()
        for stage, times in zip(STAGES, batch, strict=True):
            if times is not None:
                counted[stage] = _with(counted[stage], np.fromstring(times, np.int64, sep=","))
    return {stage.removesuffix("_us"): _percentiles_ms(*counted[stage]) for stage in STAGES}


def _with(counted: _Counted, times: NDArray[np.int64]) -> _Counted:
    values, counts = np.unique(times, return_counts=True)
    merged, places = np.unique(np.concatenate((counted[0], values)), return_inverse=True)
    total = np.zeros(len(merged), np.int64)
    np.add.at(total, places, np.concatenate((counted[1], counts)))
    return merged, total


def _percentiles_ms(values: NDArray[np.int64], counts: NDArray[np.int64]) -> dict[str, float]:
    """As numpy.percentile of all times: linear between the two nearest."""
    if not len(values):
        return {}
    places = np.array(list(PERCENTILES.values())) / 100 * (counts.sum() - 1)
    below, above = (
        values[np.searchsorted(np.cumsum(counts), place, side="right")] for place in (np.floor(places), np.ceil(places))
    )
    found = below + (above - below) * (places - np.floor(places))
    return {name: round(float(value) / 1000, 3) for name, value in zip(PERCENTILES, found, strict=True)}
