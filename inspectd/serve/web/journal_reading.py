"""Short looks into the line's journal, with the reviews beside it. No look lasts longer than one answer."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from inspectd.errors import ConfigError, JournalError
from inspectd.records.reading import UNREADABLE, open_for_reading
from inspectd.serve.engine_facts import EngineFacts, read_engine_facts
from inspectd.serve.web.site import Site


@contextmanager
def journal_of(site: Site) -> Iterator[sqlite3.Connection]:
    """A connection for reading; `reviews.labels` and `reviews.said` are the reviews.

    Raises JournalError if the journal can't be read, ReviewError if the reviews can't.
    """
    reviews = site.reviews()
    with closing(open_for_reading(site.line.journal)) as connection:
        try:
            reviews.attach_to(connection)
            yield connection
        except UNREADABLE as error:
            raise JournalError(f"{site.line.journal}: can't be read: {error}") from error


def engine_of(site: Site) -> EngineFacts | None:
    """The engine in use; None if its description can't be read."""
    try:
        return read_engine_facts(site.line.engine, site.line.config.get("inference", {}))
    except ConfigError:
        return None
