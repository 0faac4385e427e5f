"""What the exporter knows: one thread follows the journal and counts, another asks the line for its status."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from inspectd.errors import JournalError
from inspectd.serve.following import Follower
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.line_now import FRESH_S, LineAsker, LineNow
from inspectd.serve.metrics.counts import Counts, read_counts

log = structlog.get_logger()

_LOOK_S = 0.5
_LOOK_BEHIND_S = 0.05
_AT_ONCE = 500
_KEEP_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The last look at the journal."""

    counts: Counts | None
    """None while the counts are behind the journal."""
    session: dict[str, Any] | None


class Watch:
    """Counts from when it is made until `close`."""

    def __init__(self, line: LineFacts, state: Path) -> None:
        self.line = line
        self._kept = state / "counts.json"
        self._counts = read_counts(self._kept)
        self._follower = Follower(line.journal, self._counts.place)
        self._lock = threading.Lock()
        self._looked_s = float("-inf")
        self._problem: str | None = "the journal was not read yet"
        self._session: dict[str, Any] | None = None
        self._is_behind = True
        self._keep_s = time.monotonic()
        self._keep_problem: str | None = None
        self._turned_s = time.monotonic()
        self._asker = LineAsker(line, is_watched=lambda: True)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def now(self) -> LineNow | None:
        """The line's last answer; None if it is too old."""
        now = self._asker.now
        return now if now.is_fresh else None

    @property
    def problem(self) -> str | None:
        """Why the journal can't be read; None if it can."""
        if self._problem is None and time.monotonic() - self._looked_s > FRESH_S:
            return f"{self.line.journal}: a look has not ended within {FRESH_S:g} s"
        return self._problem

    @property
    def turned_s(self) -> float:
        """When the thread last ended a turn, in monotonic seconds."""
        return self._turned_s

    @contextmanager
    def seen(self) -> Iterator[Seen | None]:
        """The counts, which do not change in the block. None if the journal can't be read: nothing old may look like news."""
        with self._lock:
            yield None if self.problem else Seen(None if self._is_behind else self._counts, self._session)

    def close(self) -> None:
        self._ending.set()
        self._asker.close()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while True:
            self._turn()
            self._turned_s = time.monotonic()
            if self._ending.wait(_LOOK_BEHIND_S if self._is_behind and self._problem is None else _LOOK_S):
                break
        self._keep()
        self._follower.close()

    def _turn(self) -> None:
        problem = None
        try:
            self._look()
        except JournalError as error:
            problem = str(error)
        except Exception as error:  # a fault of this program: it must not show old values as new ones
            log.error("the journal can't be counted", error=f"{type(error).__name__}: {error}", exc_info=error)
            problem = f"this program has failed ({type(error).__name__})"
        if problem not in (None, self._problem):
            log.warning("the journal can't be followed", problem=problem)
        self._problem = problem
        if time.monotonic() >= self._keep_s:
            self._keep()

    def _look(self) -> None:
        session = self._follower.session()
        if self._follower.place != self._counts.place:  # the last look has failed: its changes come again
            self._follower.go_back(self._counts.place)
        news = self._follower.news(_AT_ONCE)
        with self._lock:
            if news.gap is not None:
                log.warning("some changes can't be counted", reason=news.gap.reason, at_most=news.gap.numbers)
                self._counts.skip(news.gap)
            for change in news.changes:
                self._counts.take(change)
            self._counts.place = self._follower.place
            self._session, self._is_behind = session, news.has_more
            self._looked_s = time.monotonic()

    def _keep(self) -> None:
        self._keep_s = time.monotonic() + _KEEP_S
        problem = None
        try:
            self._counts.write(self._kept)
        except OSError as error:
            problem = f"{error.filename or self._kept}: {error.strerror or error}"
        if problem not in (None, self._keep_problem):
            log.warning("the counts can't be kept: a restart would count some parts again", problem=problem)
        self._keep_problem = problem
