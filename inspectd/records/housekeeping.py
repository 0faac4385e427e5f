"""The journal's housekeeping, off the hot path: checkpoints and retention, in a thread with another connection.

It must not make the line wait, nor readers. While another program keeps a transaction open, the log grows (about 20 KB per
part); it is written back when that program has finished.
"""

import sqlite3
import threading
import time
from contextlib import closing
from types import TracebackType
from typing import Self

import structlog

from inspectd.errors import JournalError
from inspectd.logs import Throttle
from inspectd.records.journal import JournalConfig
from inspectd.records.retention import retain

log = structlog.get_logger()

_CHECKPOINT_EVERY_S = 2.0
_RETENTION_EVERY_S = 60.0
_WAL_LIMIT_PAGES = 2000
"""8 MB, about 400 parts: above this the log should begin again at its start."""
_WAL_ALARM_PAGES = 16_000
"""64 MB: above this the log begins again even if the line then waits for a slow disk."""
_TRIES = 10
_PATIENCE_MS = 200
"""How many ms a deletion waits for a commit of the line."""


class Housekeeper:
    """Use it as a context manager around the line. What fails is logged and tried again, with a new connection."""

    def __init__(self, config: JournalConfig) -> None:
        self._config = config
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._long_log = Throttle(every_s=60)
        self._next_retention_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def check(self) -> None:
        """Raises JournalError if the thread has died; never waits."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stopping.is_set():
            raise JournalError("the journal's housekeeping thread has died, and without it the log grows for ever")

    def retain(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest parts beyond `keep_days` and `max_mb`, and give the space back to the disk."""
        connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        retain(connection, self._config, self._stopping)

    def _run(self) -> None:
        self._next_retention_s = time.monotonic() + _RETENTION_EVERY_S
        while not self._stopping.wait(_CHECKPOINT_EVERY_S):
            try:
                journal = f"{self._config.path.resolve().as_uri()}?mode=rw"
                with closing(sqlite3.connect(journal, uri=True, isolation_level=None)) as connection:
                    connection.execute("PRAGMA synchronous = NORMAL")
                    self._work(connection)
            except Exception as error:
                log.error(
                    "the journal's housekeeping failed; it is tried again", error=f"{type(error).__name__}: {error}"
                )
                self._stopping.wait(_CHECKPOINT_EVERY_S)

    def _work(self, connection: sqlite3.Connection) -> None:
        while True:
            self._checkpoint(connection)
            if time.monotonic() >= self._next_retention_s:
                self._next_retention_s = time.monotonic() + _RETENTION_EVERY_S
                self.retain(connection)
            if self._stopping.wait(_CHECKPOINT_EVERY_S):
                return

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Write the log back to the database, so that it can begin again at its start.

        PASSIVE neither waits for the line nor makes it wait, but after it the log only begins again if no part came
        meanwhile. If parts always come, RESTART is used. It makes the line wait for the last few pages and for the disk, so
        it is not used while a reader is active, nor if the disk is too slow.
        """
        for _ in range(_TRIES):
            begin_s = time.monotonic()
            pages, written = self._write_back(connection, "PASSIVE")
            duration_s = time.monotonic() - begin_s
            if pages <= _WAL_LIMIT_PAGES or self._stopping.is_set():
                return
            if pages - written > _WAL_LIMIT_PAGES:
                self._complain(pages)
                return
        if duration_s < self._config.busy_timeout_ms / 2000 or pages > _WAL_ALARM_PAGES:
            self._write_back(connection, "RESTART")

    def _write_back(self, connection: sqlite3.Connection, how: str) -> tuple[int, int]:
        """Pages in the log, and how many of them are in the database now."""
        # a busy timeout would wait for readers, and the line for it
        connection.execute("PRAGMA busy_timeout = 0")
        _, pages, written = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        return int(pages), int(written)

    def _complain(self, pages: int) -> None:
        if pages > _WAL_ALARM_PAGES and self._long_log.is_open(time.monotonic()):
            log.warning(
                "another program keeps reading the journal: the journal's log grows until it stops",
                log_mb=round(pages * 4096 / 1e6),
            )
