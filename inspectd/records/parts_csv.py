"""Parts as CSV, for spreadsheets and recalls."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TextIO

from inspectd.records.accounts import Span

_PAGE = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Spreadsheets read a text that begins with one of these as a formula (OWASP: CSV injection)."""

_SELECT = """
SELECT parts.*, engines.name AS engine_name, engines.hash AS engine_hash,
    readers.name AS reader_name, readers.hash AS reader_hash,
    (SELECT group_concat(field || ': ' || found || CASE verdict WHEN 'right' THEN '' ELSE ' (' || verdict || ')' END, '; ')
        FROM texts WHERE part = parts.id) AS texts
FROM parts
LEFT JOIN engines ON engines.id = parts.engine LEFT JOIN engines AS readers ON readers.id = parts.reader
"""
# With the plus, SQLite does not use the index by time: it would sort the whole range again for every page.
_SELECT_PAGE = (
    _SELECT + "WHERE parts.id > ? AND parts.id <= ? AND +t_utc_ns >= ? AND +t_utc_ns < ? ORDER BY parts.id LIMIT ?"
)
_SELECT_PARTS = _SELECT + "WHERE parts.id IN (SELECT value FROM json_each(?)) ORDER BY parts.id"  # noqa: S608


def write_csv(connection: sqlite3.Connection, span: Span, file: TextIO) -> None:
    """Write one row per part, by part number. No query of the journal stays open while writing to `file` waits.

    Raises sqlite3.Error.
    """
    lowest, highest = connection.execute(
        "SELECT min(id), max(id) FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ?", span
    ).fetchone()
    file.write(csv_header(connection))
    after = lowest - 1 if lowest is not None else 0
    while page := connection.execute(_SELECT_PAGE, (after, highest or 0, *span, _PAGE)).fetchall():
        file.write(_lines(page))
        after = page[-1]["id"]


def csv_header(connection: sqlite3.Connection) -> str:
    """The line with the names of the columns. Raises sqlite3.Error."""
    return _lines([[column[0] for column in connection.execute(_SELECT_PARTS, ("[]",)).description]])


def csv_of(connection: sqlite3.Connection, parts: Sequence[int]) -> str:
    """One line per part of these numbers that is in the journal, by part number. Raises sqlite3.Error."""
    return _lines(connection.execute(_SELECT_PARTS, (json.dumps(list(parts)),)).fetchall())


def csv_line(values: Sequence[object]) -> str:
    """One line of any CSV table."""
    return _lines([values])


def _lines(rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([_defused(value) for value in row] for row in rows)
    return file.getvalue()


def _defused(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
