"""Every part of a range as CSV, for spreadsheets and recalls."""

import csv
import sqlite3
from typing import TextIO

from inspectd.records.accounts import Span

_PAGE = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Spreadsheets read a text that begins with one of these as a formula (OWASP: CSV injection)."""

# With the plus, SQLite does not use the index by time: it would sort the whole range again for every page.
_SELECT_PAGE = """
SELECT parts.*, engines.name AS engine_name, engines.hash AS engine_hash,
    readers.name AS reader_name, readers.hash AS reader_hash,
    (SELECT group_concat(field || ': ' || found || CASE verdict WHEN 'right' THEN '' ELSE ' (' || verdict || ')' END, '; ')
        FROM texts WHERE part = parts.id) AS texts
FROM parts
LEFT JOIN engines ON engines.id = parts.engine LEFT JOIN engines AS readers ON readers.id = parts.reader
WHERE parts.id > ? AND parts.id <= ? AND +t_utc_ns >= ? AND +t_utc_ns < ? ORDER BY parts.id LIMIT ?
"""


def write_csv(connection: sqlite3.Connection, span: Span, file: TextIO) -> None:
    """Write one row per part, by part number. No query of the journal stays open while writing to `file` waits.

    Raises sqlite3.Error.
    """
    lowest, highest = connection.execute(
        "SELECT min(id), max(id) FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ?", span
    ).fetchone()
    writer = csv.writer(file)
    writer.writerow(column[0] for column in connection.execute(_SELECT_PAGE, (0, 0, *span, 0)).description)
    after = lowest - 1 if lowest is not None else 0
    while page := connection.execute(_SELECT_PAGE, (after, highest or 0, *span, _PAGE)).fetchall():
        writer.writerows([_defused(value) for value in row] for row in page)
        after = page[-1]["id"]


def _defused(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
