"""A journal with values that no line writes: pages say what can't be read, and never fail."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.app import make_app
from tests.serve.web.conftest import Plant, login_fields

WRONG_TEXT, SPOT = 69, 68
"""Parts of the plant: a wrong text, and a place that the guard found."""
PAGES = ("/", "/review/cards?seen=all", "/review/cards?seen=all&sort=nearest", "/reports", "/engines")


@pytest.fixture(scope="module")
def damaged(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sqlite3.Connection, TestClient]]:
    """A copy of the journal that takes any value, and an operator's client of a page that reads it."""
    path = tmp_path_factory.mktemp("damaged") / "journal.sqlite"
    with (
        closing(sqlite3.connect(plant.site.line.journal)) as source,
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
    ):
        source.backup(connection)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for table in ("parts", "texts"):
            connection.execute(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}")
        app = make_app(replace(plant.site, line=replace(plant.site.line, journal=path)))
        with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
            client.post("/login", data=login_fields(Role.OPERATOR, client.get("/login").text))
            yield connection, client


@contextmanager
def _with(connection: sqlite3.Connection, part: int, column: str, value: object) -> Iterator[None]:
    """Meanwhile the journal has this value. `column`: with its table."""
    table, name = column.split(".")
    key = "id" if table == "parts" else "part"
    connection.execute(f"UPDATE {table} SET {name} = ? WHERE {key} = ?", (value, part))
    yield
    (kept,) = connection.execute(f"SELECT {name} FROM kept_{table} WHERE {key} = ?", (part,)).fetchone()
    connection.execute(f"UPDATE {table} SET {name} = ? WHERE {key} = ?", (kept, part))


def test_a_value_that_can_not_be_read_is_named(damaged):
    connection, client = damaged
    deep, endless = "[" * 100_000, float("inf")
    for part, column, value, said in [
        *(
            (WRONG_TEXT, "parts.scores", value, "the scores")
            for value in ("", "[", "[]", "5", "{}", '["a"]', "[NaN]", "[1e999]", "[null]", "[true]", deep)
        ),
        *(
            (WRONG_TEXT, "texts.expected", value, "what lot must say")
            for value in ("", "]", "7", "[7]", '"LOT"', "[[]]", "{}", deep)
        ),
        (WRONG_TEXT, "texts.score", endless, "the fit of lot"),
        (WRONG_TEXT, "parts.certainty", -endless, "the certainty"),
        (WRONG_TEXT, "parts.brightness", endless, "the brightness"),
        (SPOT, "parts.anomaly_excess", endless, "how far the guard&#39;s limit is exceeded"),
    ]:
        with _with(connection, part, column, value):
            answer = client.get(f"/parts/{part}")
            assert answer.status_code == 200, (column, value)
            assert f"It can't be read: {said}." in answer.text, (column, value)
            for page in PAGES:
                assert client.get(page).status_code == 200, (column, value, page)


def test_an_unknown_verdict_is_shown(damaged):
    connection, client = damaged
    with _with(connection, WRONG_TEXT, "parts.verdict", "perhaps"):
        assert client.get(f"/parts/{WRONG_TEXT}").status_code == 200


def test_a_column_with_a_value_of_another_kind_is_named(damaged):
    """SQLite does not notice it when it reads a damaged file. The line does at its next start, and sets the file aside."""
    connection, client = damaged
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name IN ('parts', 'texts')")
    connection.execute("PRAGMA writable_schema = RESET")
    for table in ("parts", "texts"):
        columns = connection.execute(f"SELECT name FROM pragma_table_info('{table}') WHERE pk = 0").fetchall()
        for (column,) in columns:
            with _with(connection, WRONG_TEXT, f"{table}.{column}", b"\xff"):
                answer = client.get(f"/parts/{WRONG_TEXT}")
                assert answer.status_code == 503, column
                assert f"{table}.{column} of part {WRONG_TEXT} has a value that no line writes" in answer.text
                for page in PAGES[:3]:
                    assert client.get(page).status_code in (200, 503), (column, page)
