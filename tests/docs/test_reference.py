"""The generated reference pages are complete."""

import re
import sqlite3
import sys
from collections.abc import Callable

import pytest

from inspectd.records.journal_schema import prepare_schema
from tests.docs.pages import DOCS, ROOT

sys.path.append(str(DOCS / "generate"))
import journal  # type: ignore[import-not-found]
import programs  # type: ignore[import-not-found]
import rooms  # type: ignore[import-not-found]
import schema  # type: ignore[import-not-found]

_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", re.MULTILINE)


def test_every_column_of_the_journal_has_a_meaning() -> None:
    connection = sqlite3.connect(":memory:")
    prepare_schema(connection, ROOT / "journal.sqlite")
    expected = connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%'"
    ).fetchall()
    described = []
    for section in journal.page().split("\n## ")[1:]:
        table, _, rows = section.partition("\n")
        described += [(table, column) for column, _, meaning in _ROW.findall(rows) if meaning]
    assert sorted(described) == sorted(expected)


@pytest.mark.parametrize(
    "page",
    [
        schema.line_config,
        schema.page_config,
        schema.pull_config,
        schema.training_settings,
        schema.experiment_file,
        schema.engine_bundle,
    ],
)
def test_every_key_has_a_meaning(page: Callable[[], str]) -> None:
    keys = 0
    for section in page().split("\n## "):
        for key, meaning, _ in _ROW.findall(section):
            keys += 1
            is_named_by_its_section = key in ("kind", "source")
            assert is_named_by_its_section or ("| meaning |" in section and meaning), (
                f"{section.splitlines()[0]}: {key}"
            )
    assert keys > 5


def test_every_program_is_found() -> None:
    found = {program.script for program in programs.programs()} - {None}
    assert found == {f"tools/{path.name}" for path in (ROOT / "tools").glob("*.py")}


def test_the_drawings_show_the_rooms_and_no_two_import_each_other() -> None:
    assert ">training</text>" in rooms.tools()
    for room in ("camera", "gate", "inference", "line", "records", "service", "commands"):
        assert f">{room}</text>" in rooms.daemon()
