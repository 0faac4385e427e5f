"""Follow the line's journal over restarts of this program, of the line, and over a journal that is replaced by another.

A follower is a place in the journal: all changes up to its number are taken. Whoever follows keeps the place in a file.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inspectd.errors import JournalError
from inspectd.records.feed import Change, Feed

_AGAIN_S = 1.0
_ALIVE_NS = 5 * 10**9
"""A running line writes a sign of life every second."""


def is_alive(session: Mapping[str, Any]) -> bool:
    """Whether the line of this row of `sessions` has given a sign of life in the last 5 s."""
    age_ns: int = time.monotonic_ns() - session["alive_mono_ns"]
    return session["ended_utc_ns"] is None and 0 <= age_ns < _ALIVE_NS


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has come."""

    journal: str
    """The journal's random name; empty: any journal, from its begin."""
    number: int
    """Of the last change."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes that nobody can take any more. Not each number in it was a change: a row that changes gets a new number."""

    reason: Literal["deleted", "replaced", "older_copy", "unreadable"]
    """`deleted`: retention has deleted rows. `replaced`: another journal is there now. `older_copy`: an older copy of the
    journal was put back. `unreadable`: a row is damaged."""
    after: Place
    """The last change before the gap."""
    up_to: int | None
    """The last number in it; None if that is not known, because the journal is gone."""

    @property
    def numbers(self) -> int | None:
        """How many changes are lost at most."""
        return None if self.up_to is None else max(0, self.up_to - self.after.number)


@dataclass(frozen=True, slots=True)
class News:
    """What has changed since the place before."""

    changes: list[Change]
    has_more: bool
    """There may be more changes already."""
    gap: Gap | None
    """It is before these changes."""
    begin: Place
    """They are after this place."""


class Follower:
    """One thread at a time may use it. Between two calls it holds no transaction in the journal."""

    def __init__(self, path: Path, place: Place | None) -> None:
        """`place`: where it goes on; None: at the newest change."""
        self.place = place
        self._path = path
        self._feed: Feed | None = None
        self._opened_s = float("-inf")
        self._problem = ""
        self._has_more = True
        self._told = 0
        """Deleted rows up to this number were in a gap."""

    def news(self, limit: int) -> News:
        """At most `limit` changes after `place`, the oldest first; `place` is then at the last one.

        Raises JournalError while the journal can't be read. Call it again: it opens the journal that is there then.
        """
        feed = self._opened()
        try:
            return self._news(feed, limit)
        except JournalError as error:
            self.close()
            self._problem = str(error)
            raise

    def go_back(self, place: Place | None) -> None:
        """Changes after `place` come again."""
        self.place, self._has_more = place, True

    @property
    def journal(self) -> str | None:
        """The journal's random name; None if it can't be read."""
        return None if self._feed is None else self._feed.journal

    def session(self) -> dict[str, Any] | None:
        """The newest session of the line. Raises JournalError."""
        try:
            return self._opened().session()
        except JournalError as error:
            self.close()
            self._problem = str(error)
            raise

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed, self._has_more = None, True

    def _opened(self) -> Feed:
        if self._feed is None:
            now_s = time.monotonic()
            if now_s - self._opened_s < _AGAIN_S:
                raise JournalError(self._problem or f"{self._path}: is opened again in a second")
            self._opened_s = now_s
            try:
                self._feed = Feed(self._path)
            except JournalError as error:
                self._problem = str(error)
                raise
        return self._feed

    def _news(self, feed: Feed, limit: int) -> News:
        has_news = feed.has_news()
        if self.place is not None and not (self._has_more or has_news):
            return News([], False, None, self.place)
        self._has_more = True  # also if this look fails
        place, gap = self.place, None
        if place is None:
            place = Place(feed.journal, feed.newest())
        elif place.journal != feed.journal:
            gap = Gap("replaced", place, None) if place.journal else None
            place = Place(feed.journal, 0)
            self._told = 0
        elif place.number > (newest := feed.newest()):
            gap = Gap("older_copy", place, None)
            place = Place(feed.journal, newest)
        changes = feed.after(place.number, limit)
        known = max(place.number, self._told)
        if gap is None and known < feed.deleted:
            gap = Gap("deleted", Place(feed.journal, known), feed.deleted)
        self._told = feed.deleted
        reached = changes[-1].number if changes else max(place.number, feed.deleted)
        self.place = Place(feed.journal, reached)
        self._has_more = len(changes) == limit
        return News(changes, self._has_more, gap, place)
