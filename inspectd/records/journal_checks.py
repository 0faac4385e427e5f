"""What in a journal no line can have written, although the file is whole by SQLite's own check."""

import re
import sqlite3
from contextlib import closing

from inspectd.records.journal_schema import NEWEST_CHANGE, SCHEMA, SCHEMA_VERSION

_COMMENT = re.compile(r"--.*")
HIGHEST_PLAUSIBLE = 10**15
"""Of parts, sessions, outages and changes. A line that makes 1000 of them a second needs 30 000 years."""
_IMPOSSIBLE_NUMBER = f"""
SELECT NOT EXISTS (SELECT 1 FROM feed) OR {NEWEST_CHANGE} > {HIGHEST_PLAUSIBLE}
    OR EXISTS (SELECT 1 FROM parts WHERE id > {HIGHEST_PLAUSIBLE})
    OR EXISTS (SELECT 1 FROM sessions WHERE max(id, ifnull(first_part, 0), ifnull(last_part, 0)) > {HIGHEST_PLAUSIBLE})
    OR EXISTS (SELECT 1 FROM outages WHERE max(id, ifnull(last_part, 0)) > {HIGHEST_PLAUSIBLE})
"""  # noqa: S608
_HIGHEST_VERSION = 1000
"""Of a later inspectd. A higher version in a journal is damage."""


def has_impossible_version(connection: sqlite3.Connection) -> bool:
    """Whether neither this inspectd nor an earlier or later one has written this version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return not 1 <= version <= _HIGHEST_VERSION


def has_tables_of_its_version(connection: sqlite3.Connection) -> bool:
    """Whether tables, columns, rules and triggers are those of this version if the file says so, and others if it says an earlier one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    with closing(sqlite3.connect(":memory:")) as pattern:
        pattern.executescript(SCHEMA)
        is_current = _columns(pattern) == _columns(connection)
        return is_current == (version == SCHEMA_VERSION) and (
            not is_current or (_rules(pattern) == _rules(connection) and _triggers(pattern) <= _triggers(connection))
        )


def has_impossible_number(connection: sqlite3.Connection) -> bool:
    """Whether a row has a number to which no line has counted, so that the next numbers can't be stored or are missing.

    Journals of earlier versions are not looked at: their next start does it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version == SCHEMA_VERSION and connection.execute(_IMPOSSIBLE_NUMBER).fetchone() != (0,))


def _columns(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT tables.name, columns.name, columns.type, columns.pk FROM sqlite_master AS tables, pragma_table_info(tables.name) "
        "AS columns WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%' ORDER BY 1, 2"
    ).fetchall()


def _rules(connection: sqlite3.Connection) -> tuple[list[tuple[object, ...]], list[str]]:
    """What decides whether a row can be stored: a change in it would refuse every label, and SQLite's own check would not see it."""
    columns = connection.execute(
        'SELECT tables.name, columns.name, columns."notnull", columns.dflt_value, keys."table", keys."to" '
        "FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
        'LEFT JOIN pragma_foreign_key_list(tables.name) AS keys ON keys."from" = columns.name '
        "WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%' ORDER BY 1, 2"
    ).fetchall()
    checked = connection.execute("SELECT sql FROM sqlite_master WHERE name IN ('parts', 'texts') ORDER BY name")
    return columns, [" ".join(_COMMENT.sub("", sql).split()) for (sql,) in checked]


def _triggers(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
