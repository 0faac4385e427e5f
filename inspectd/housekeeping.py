"""The journal's housework, off the hot path: checkpoints and retention, in a thread with a connection of its own."""

import sqlite3
import threading
import time
from types import TracebackType
from typing import Self

import structlog

from inspectd.journal import JournalConfig

log = structlog.get_logger()

_CHECKPOINT_EVERY_S = 2.0
_RETENTION_EVERY_S = 60.0
_WAL_LIMIT_PAGES = 2000
"""8 MB: about 1000 parts."""
_BATCH = 200
"""Parts deleted in one transaction: the line waits for the write lock a few ms at most."""


class Housekeeper:
    """Use as a context manager around the line. What fails here is logged and tried again later."""

    def __init__(self, config: JournalConfig) -> None:
        self._config = config
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        connection = sqlite3.connect(self._config.path, isolation_level=None, timeout=0.1)
        next_retention_s = time.monotonic() + _RETENTION_EVERY_S
        while not self._stopping.wait(_CHECKPOINT_EVERY_S):
            try:
                self._checkpoint(connection)
                if time.monotonic() >= next_retention_s:
                    next_retention_s = time.monotonic() + _RETENTION_EVERY_S
                    self.retain(connection)
            except sqlite3.Error as error:
                log.warning("journal housekeeping failed", error=str(error))
        connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """PASSIVE never waits for the line nor makes it wait, but the WAL only begins anew if no part came meanwhile.
        Where one always does, RESTART holds the line up for the few pages that are left."""
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > _WAL_LIMIT_PAGES:
            connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def retain(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest parts beyond `keep_days` and `max_mb`, and give the space back to the disk."""
        oldest_ns = time.time_ns() - self._config.keep_days * 86_400 * 10**9
        while not self._stopping.is_set() and self._delete_oldest(connection, oldest_ns):
            self._stopping.wait(0.05)
        while not self._stopping.is_set() and self._used_mb(connection) > self._config.max_mb:
            if not self._delete_oldest(connection, time.time_ns()):
                break
            self._stopping.wait(0.05)
        connection.execute("PRAGMA incremental_vacuum(1000)").fetchall()

    def _delete_oldest(self, connection: sqlite3.Connection, before_ns: int) -> int:
        """The last part always stays: the ids of the next session go on from it."""
        return connection.execute(
            "DELETE FROM parts WHERE id IN (SELECT id FROM parts WHERE t_utc_ns < ? AND id < (SELECT max(id) FROM parts) "
            "ORDER BY id LIMIT ?)",
            (before_ns, _BATCH),
        ).rowcount

    def _used_mb(self, connection: sqlite3.Connection) -> float:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        return float((pages - free) * size / 1e6)
