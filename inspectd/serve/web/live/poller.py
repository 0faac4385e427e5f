"""The line, live: one thread follows the journal for all pages, and says what has changed.

It looks every 50 ms, and sends at most 10 messages a second, however many labels come. Figures are counted once a second.
Whatever goes wrong with the journal, the thread tries again, and the pages say what is wrong and how old their values are.
"""

import asyncio
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import time as time_of_day
from typing import Any

import structlog
from starlette.requests import Request

from inspectd.errors import JournalError, ReviewError
from inspectd.records.feed import Change, Feed
from inspectd.records.reading import open_for_reading
from inspectd.records.reviews import Reviews
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.line_now import LineAsker
from inspectd.serve.web.live.clients import Clients
from inspectd.serve.web.live.figures import MOST_WAITING, Look, last_image, last_rejects, waiting_for_review
from inspectd.serve.web.live.shown import LineState, Rejects, figures_shown, line_state, part_shown, trouble_shown
from inspectd.serve.web.site import FOLDER

log = structlog.get_logger()

_SOFTWARE = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((FOLDER / "static").iterdir()))).hexdigest()[
    :16
]
"""A page with older scripts loads itself again."""
_LOOK_S = 0.05
_LOOK_UNWATCHED_S = 0.5
_SEND_S = 0.1
_FIGURES_S = 1.0
_REVIEWS_S = 10.0
_AGAIN_S = 1.0
_FIRST_LOOK_S = 2.0
_AT_ONCE = 500


class _Following:
    """One journal while it is the line's journal."""

    def __init__(self, line: LineFacts, shifts: Sequence[time_of_day], reviews: Callable[[], Reviews]) -> None:
        """Raises JournalError, sqlite3.Error."""
        self.feed = Feed(line.journal)
        try:
            self._connection = open_for_reading(line.journal)
        except BaseException:
            self.feed.close()
            raise
        self.number = self.feed.newest()
        self.look = Look(self._connection, shifts)
        self._has_reviews = False
        with suppress(ReviewError, sqlite3.Error):  # the line is shown without them
            reviews().attach_to(self._connection)
            self._has_reviews = True
        self.rejects = Rejects(last_rejects(self._connection))
        self.last_image = last_image(self._connection)
        self._has_more = False
        self.waiting: set[int] = set()
        """Rejected parts that were added or changed since the last message."""

    @property
    def id(self) -> str:
        return f"{self.feed.journal}-{self.number}"

    def changes(self) -> list[Change]:
        """What has changed since the last call. Raises JournalError."""
        if not (self.feed.has_news() or self._has_more):
            return []
        found = self.feed.after(self.number, _AT_ONCE)
        self._has_more = len(found) == _AT_ONCE
        return found

    def take(self, row: dict[str, Any]) -> None:
        """A part that was added or changed."""
        self.look.changed(row["t_utc_ns"])
        if self.rejects.take(row):
            self.waiting.add(row["id"])
        elif row["image"]:
            self.last_image = row

    def waiting_shown(self) -> dict[str, str]:
        """How many rejects wait for review; nothing if the reviews can't be read now."""
        waiting = 0
        with suppress(sqlite3.Error):
            waiting = waiting_for_review(self._connection) if self._has_reviews else 0
        most = "+" if waiting == MOST_WAITING else ""
        return {"waiting": f"({waiting}{most})" if waiting else ""}

    def close(self) -> None:
        self.feed.close()
        self._connection.close()


class Live:
    """Follows from when it is made until `close`."""

    def __init__(self, line: LineFacts, shifts: Sequence[time_of_day], reviews: Callable[[], Reviews]) -> None:
        """`reviews`: opens them, or raises ReviewError."""
        self.clients = Clients()
        self.ready = threading.Event()
        """Set after the first look at the journal, or the first failure."""
        self.asker = LineAsker(line, is_watched=lambda: len(self.clients) > 0)
        self._line = line
        self._shifts = shifts
        self._reviews = reviews
        self._lock = threading.Lock()
        self._fragments: dict[str, str] = {}
        self._rejects: dict[int, str] = {}
        self._id = ""
        self._state = LineState("unknown", "The journal is being read")
        self._newest_utc_ns: int | None = None
        self._looked_s = time.monotonic()
        self._problem: str | None = None
        self._following: _Following | None = None
        self._opened_s = self._counted_s = self._sent_s = self._reviewed_s = float("-inf")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    @property
    def fragments(self) -> dict[str, str]:
        """What pages show now: id of an element -> its HTML."""
        with self._lock:
            return dict(self._fragments)

    @property
    def rejects(self) -> dict[int, str]:
        """The last rejects: part number -> the HTML of its line, the newest first."""
        with self._lock:
            return dict(self._rejects)

    @property
    def state(self) -> LineState:
        """Whether the belt may run."""
        return self._state

    async def first_look(self) -> None:
        """Wait for it, but not for long: a page also says that nothing is known yet."""
        await asyncio.to_thread(self.ready.wait, _FIRST_LOOK_S)

    def whole(self) -> bytes:
        """The message with all that a page shows."""
        with self._lock:
            return self._message("state", self._fragments, self._rejects)

    def beat(self) -> bytes:
        """The message that only says how old the values are."""
        with self._lock:
            return self._message("beat", {}, {})

    def close(self) -> None:
        self._ending.set()
        self.asker.close()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_S if self.clients else _LOOK_UNWATCHED_S):
            try:
                self._turn()
            except (JournalError, sqlite3.Error, UnicodeDecodeError, OSError) as error:
                self._lose(str(error))
            except Exception as error:  # a fault of the page: it must not show old values as new ones
                log.error("the page can't show the line", error=f"{type(error).__name__}: {error}", exc_info=error)
                self._lose(f"the page has failed ({type(error).__name__})")
            self.ready.set()
        if self._following is not None:
            self._following.close()

    def _lose(self, problem: str) -> None:
        """Say what is wrong. In a second the journal that is there then is opened."""
        if self._following is not None:
            self._following.close()
            self._following = None
        if problem != self._problem:
            log.warning("the journal can't be followed", problem=problem)
        with self._lock:
            self._problem = problem
            if not self._id:
                self._fragments = trouble_shown(problem)
            self.clients.publish(
                self._message("beat", {}, {}) if self._id else self._message("state", self._fragments, {})
            )

    def _turn(self) -> None:
        now_s = time.monotonic()
        following = self._following
        if following is None:
            if now_s - self._opened_s < _AGAIN_S:
                return
            self._opened_s = now_s
            following = self._following = _Following(self._line, self._shifts, self._reviews)
            self._counted_s = self._sent_s = self._reviewed_s = float("-inf")
        for change in following.changes():
            self._take(following, change)
        is_new = self._sent_s == float("-inf")
        fragments = self._counted(following, now_s) if now_s - self._counted_s >= _FIGURES_S else {}
        with self._lock:
            self._looked_s, self._problem = now_s, None
        if fragments or is_new or (following.waiting and now_s - self._sent_s >= _SEND_S):
            self._sent_s = now_s
            self._send(following, fragments, is_new=is_new)

    def _take(self, following: _Following, change: Change) -> None:
        following.number = change.number
        if change.kind == "part":
            following.take(change.row)
            self._newest_utc_ns = change.row["t_utc_ns"]
        elif change.kind != "session":
            self._counted_s = float("-inf")  # a stop or an outage is shown at once

    def _counted(self, following: _Following, now_s: float) -> dict[str, str]:
        self._counted_s = now_s
        figures, now = following.look.figures(), self.asker.now
        self._newest_utc_ns = figures.newest_utc_ns
        self._state = line_state(figures, now, self._line)
        shown = figures_shown(figures, self._state, now, self._line)
        if now_s - self._reviewed_s >= _REVIEWS_S:
            self._reviewed_s = now_s
            shown |= following.waiting_shown()
        return shown

    def _send(self, following: _Following, fragments: dict[str, str], *, is_new: bool) -> None:
        """All that is new, to all pages; everything, if this journal has just been opened."""
        now, shown = self.asker.now, following.rejects
        fragments |= part_shown(shown.last or following.last_image, now, self._line)
        parts = shown.parts
        rejects = {part: shown.shown(part, now) for part in parts if is_new or part in following.waiting}
        following.waiting.clear()
        with self._lock:
            known = {} if is_new else self._fragments
            changed = {name: html for name, html in fragments.items() if known.get(name) != html}
            self._fragments = known | changed
            self._rejects = {part: rejects.get(part) or self._rejects[part] for part in parts}
            self._id = following.id
            self.clients.publish(self._message("state" if is_new else "news", changed, rejects))

    def _message(self, event: str, fragments: Mapping[str, str], rejects: Mapping[int, str]) -> bytes:
        """One server-sent event. The caller holds the lock."""
        data = {
            "software": _SOFTWARE,
            "fragments": fragments,
            "rejects": sorted(rejects.items()),
            "is_stopped": self._state.kind == "stopped",
            "can_acknowledge": self._state.can_acknowledge,
            "stop": self._state.stop,
            "age_s": round(time.monotonic() - self._looked_s, 2),
            "problem": self._problem,
            "has_values": bool(self._id),
            "t_utc_ms": time.time_ns() // 10**6,
            "newest_utc_ms": self._newest_utc_ns and self._newest_utc_ns // 10**6,
        }
        return f"id: {self._id}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode()


def live_of(request: Request) -> Live:
    """What follows the line for the pages of this application."""
    live: Live = request.app.state.live
    return live
