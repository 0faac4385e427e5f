"""Percentiles of times that are counted batch by batch are those of all times at once."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.records import latency
from inspectd.records.latency import PERCENTILES, STAGES, latency_ms

TIMES = st.none() | st.integers(-5, 5) | st.integers(-(2**40), 2**40)


@given(st.lists(st.tuples(st.integers(0, 3), TIMES), max_size=60))
def test_percentiles_are_those_of_numpy(parts):
    """Per part: a time in or out of the range 1..2, and a duration. Part numbers have gaps, as after retention."""
    with pytest.MonkeyPatch.context() as patch, closing(sqlite3.connect(":memory:")) as connection:
        patch.setattr(latency, "_BATCH", 7)
        columns = ", ".join(STAGES)
        connection.execute(f"CREATE TABLE parts (id INTEGER PRIMARY KEY, t_utc_ns INTEGER, {columns})")
        rows = [(5 * number, t_ns, us) for number, (t_ns, us) in enumerate(parts)]
        connection.executemany("INSERT INTO parts (id, t_utc_ns, verdict_us) VALUES (?, ?, ?)", rows)
        found = latency_ms(connection, (1, 3))
    expected = [us for t_ns, us in parts if 1 <= t_ns < 3 and us is not None]
    assert found.keys() == {stage.removesuffix("_us") for stage in STAGES}
    assert found["infer"] == {}
    assert list(found["verdict"]) == (list(PERCENTILES) if expected else [])
    if expected:
        at_once = np.percentile(expected, list(PERCENTILES.values())) / 1000
        assert list(found["verdict"].values()) == pytest.approx(at_once, rel=1e-12, abs=6e-4)
