"""How another process opens the journal to read it. Light to import: a page or a bridge need not load what the line needs."""

import sqlite3
from pathlib import Path

from inspectd.errors import JournalError
from inspectd.records.journal_schema import SCHEMA_VERSION, is_new, version_of

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged journal may raise: even SQLite's message may quote bytes that are not text."""


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A read-only connection that never disturbs the line; rows can be read by column name.

    Raises JournalError if there is no journal of this version at `path`.
    """
    try:
        if path.exists() and not path.is_file():
            raise JournalError(f"{path}: is a folder or a device, not a journal")
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=1.0)
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode(errors="replace")
    except (OSError, RuntimeError, sqlite3.Error) as error:
        raise JournalError(f"{path}: can't be read as a journal: {error}") from error
    try:
        if is_new(connection):
            raise JournalError(f"{path}: is empty")
        version = version_of(connection, path)
        if version < SCHEMA_VERSION:
            raise JournalError(
                f"{path}: was written by an earlier version of inspectd (schema {version}); start the line with it once, "
                "which brings it up to date and keeps its rows"
            )
    except UNREADABLE as error:
        connection.close()
        raise JournalError(f"{path}: can't be read as a journal: {error}") from error
    except JournalError:
        connection.close()
        raise
    return connection
