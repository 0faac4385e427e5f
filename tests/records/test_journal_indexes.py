"""Pages find rejects and kept passes by the journal's indexes, and never read all passes."""

import sqlite3
from contextlib import closing

import pytest

from inspectd.records.reading import open_for_reading
from tests.records.journals import make_journal

REJECTS = "SELECT id FROM parts WHERE verdict <> 'pass'"
KEPT = "SELECT id FROM parts WHERE verdict = 'pass' AND image IS NOT NULL"


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    path = tmp_path_factory.mktemp("indexes") / "journal.sqlite"
    make_journal(path)
    with closing(open_for_reading(path)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("index", "query"),
    [
        ("rejects", f"{REJECTS} ORDER BY id DESC LIMIT 24"),
        ("rejects", f"{REJECTS} AND class = 'fail_label_half_printed' AND engine = 1 ORDER BY id DESC LIMIT 24"),
        ("rejects", f"{REJECTS} AND +t_utc_ns >= 5 AND +t_utc_ns < 9 ORDER BY id DESC LIMIT 24"),
        ("rejects", f"{REJECTS} AND verdict = 'uncertain' ORDER BY certainty DESC LIMIT 24"),
        ("rejects", "SELECT reason, class, count(*) FROM parts WHERE verdict <> 'pass' GROUP BY 1, 2"),
        ("kept_passes", f"{KEPT} ORDER BY id DESC LIMIT 24"),
        ("kept_passes", f"{KEPT} AND engine = 2 ORDER BY certainty LIMIT 24"),
        (
            "wrong_texts",
            "SELECT part FROM texts WHERE field = 'lot' AND verdict <> 'right' ORDER BY part DESC LIMIT 24",
        ),
        ("parts_by_change", "SELECT * FROM parts WHERE change > 3 ORDER BY change LIMIT 9"),
    ],
)
def test_a_query_of_a_page_uses_its_index(journal: sqlite3.Connection, index, query):
    plan = [row["detail"] for row in journal.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert any(step.endswith(f"INDEX {index}") or f"INDEX {index} (" in step for step in plan), plan


def test_the_indexes_of_rejects_need_no_row(journal: sqlite3.Connection):
    plan = [
        row["detail"]
        for row in journal.execute(f"EXPLAIN QUERY PLAN {REJECTS} AND reason = 'late' AND certainty > 0.5")
    ]
    assert plan == ["SCAN parts USING COVERING INDEX rejects"]
