"""The journal: one SQLite row per part, committed before the gate is told to let the part through.

WAL mode. Every part of the line is either a row of `parts` or counted in an `outages` row; after a crash the next
session begins by stating what interval nobody saw.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from pydantic import Field

from inspectd.errors import JournalError
from inspectd.gate.messages import Outcome
from inspectd.part import Fault, Missed, Part, Pass, Scores, Uncertain, Verdict
from inspectd.section import ConfigPath, Section

log = structlog.get_logger()

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x1A5BEC7D  # says that a SQLite file is one of ours

_SCHEMA = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    started_utc_ns INTEGER NOT NULL,
    alive_utc_ns INTEGER NOT NULL,
    ended_utc_ns INTEGER
) STRICT;
CREATE TABLE engines (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (name, hash)
) STRICT;
CREATE TABLE parts (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    engine INTEGER NOT NULL REFERENCES engines (id),
    frame_number INTEGER NOT NULL,
    t_utc_ns INTEGER NOT NULL,
    t_mono_ns INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fault', 'uncertain', 'missed')),
    reason TEXT CHECK ((verdict = 'missed') = (reason IS NOT NULL)),
    class TEXT CHECK (verdict = 'missed' OR class IS NOT NULL),
    certainty REAL CHECK ((class IS NULL) = (certainty IS NULL)),
    scores TEXT,
    acquire_us INTEGER NOT NULL,
    queue_us INTEGER NOT NULL,
    preprocess_us INTEGER,
    infer_us INTEGER,
    record_us INTEGER,
    verdict_us INTEGER NOT NULL,
    gate_outcome TEXT,
    gate_lateness_us INTEGER,
    image TEXT
) STRICT;
CREATE INDEX parts_by_time ON parts (t_utc_ns);
CREATE TABLE outages (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    kind TEXT NOT NULL CHECK (kind IN ('unseen', 'record_error', 'camera', 'output')),
    t_from_utc_ns INTEGER NOT NULL,
    t_to_utc_ns INTEGER CHECK (t_to_utc_ns >= t_from_utc_ns),
    parts INTEGER NOT NULL CHECK (parts >= 0),
    detail TEXT NOT NULL
) STRICT;
"""

_INSERT_PART = """
INSERT INTO parts (id, session, engine, frame_number, t_utc_ns, t_mono_ns, verdict, reason, class, certainty, scores,
                   acquire_us, queue_us, preprocess_us, infer_us, verdict_us)
VALUES (?, ?, (SELECT id FROM engines WHERE name = ? AND hash = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# A pass that the gate did not let through was no pass: the record follows what happened to the label.
_AMEND_OUTCOME = """
UPDATE parts SET gate_outcome = :outcome, gate_lateness_us = :lateness_us,
    reason = CASE WHEN verdict = 'pass' AND :outcome <> 'passed' THEN 'late' ELSE reason END,
    verdict = CASE WHEN verdict = 'pass' AND :outcome <> 'passed' THEN 'missed' ELSE verdict END
WHERE id = :part
"""

_PENDING_LIMIT = 20_000
"""Amendments kept while nothing can be written; beyond, the oldest are lost (the verdicts themselves are not)."""


class JournalConfig(Section):
    """Where and how safely parts are recorded."""

    path: ConfigPath
    """The SQLite file, e.g. /var/lib/inspectd/journal.sqlite."""
    synchronous: Literal["normal", "full"] = "normal"
    """normal: survives any death of the process whole, may lose the last commits at power loss (parts then passed
    without a row, inside the unseen interval). full: survives power loss too; each part waits for the disk (1-20 ms)."""
    busy_timeout_ms: int = Field(default=20, ge=0, le=1000)
    """How long a verdict waits for another process that has locked the journal; then the part is `record_error`."""
    keep_days: int = Field(default=365, ge=1)
    max_mb: int = Field(default=2000, ge=10)
    """Beyond either limit the oldest parts are deleted. 1 million parts take about 250 MB."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where a part's time went, in us; None for what did not happen. `verdict_us` is trigger to verdict."""

    acquire_us: int
    queue_us: int
    verdict_us: int
    preprocess_us: int | None = None
    infer_us: int | None = None


class Journal:
    """The writing side. `append`, `flush`, `heartbeat` and `close` belong to one thread at a time; the methods that
    only note something (`amend_*`, `outage_*`) may be called from any."""

    def __init__(self, connection: sqlite3.Connection, session: int, next_part_id: int) -> None:
        self.next_part_id = next_part_id
        """Part ids go on where the last session ended."""
        self._connection = connection
        self._session = session
        self._engine = ("", "")
        self._engine_is_known = False
        self._unrecorded: tuple[int, int, int] | None = None
        self._last_appended = 0
        self._lock = threading.Lock()
        self._pending: list[tuple[int, str, dict[str, object]]] = []
        self._alive_s = time.monotonic()

    @classmethod
    def open(cls, config: JournalConfig) -> "Journal":
        """Open or create the journal and begin a session, stating what interval was not seen since the last one.

        Raises JournalError if the file is no journal, is damaged or of a newer version, or can't be written.
        """
        try:
            config.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                config.path, isolation_level=None, check_same_thread=False, timeout=config.busy_timeout_ms / 1000
            )
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"{config.path}: can't be opened: {error}") from error
        try:
            _prepare(connection, config)
            with _transaction(connection):
                session = _begin_session(connection)
                (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM parts").fetchone()
        except sqlite3.Error as error:
            connection.close()
            raise JournalError(
                f"{config.path}: is no usable journal ({error}); move it away to begin a new one"
            ) from error
        return cls(connection, session, last + 1)

    def use_engine(self, name: str, sha256: str) -> None:
        """The engine of all parts from now on."""
        self._engine = (name, sha256)
        self._engine_is_known = False

    def append(self, part: Part, verdict: Verdict, stages: Stages) -> None:
        """Commit one part's verdict. Raises JournalError, within `busy_timeout_ms` if the file is locked."""
        with self._writing():
            if not self._engine_is_known:
                self._connection.execute("INSERT OR IGNORE INTO engines (name, hash) VALUES (?, ?)", self._engine)
            self._connection.execute(_INSERT_PART, self._row(part, verdict, stages))
        self._engine_is_known = True
        self._last_appended = part.id

    def unrecorded(self, part: Part) -> None:
        """`append` failed for this part: it counts in one `record_error` outage until a write works again."""
        t_from_ns, _, count = self._unrecorded or (part.t_trigger_utc_ns, 0, 0)
        self._unrecorded = (t_from_ns, max(part.t_trigger_utc_ns, t_from_ns), count + 1)

    def flush(self) -> None:
        """Write what was noted since the last part. Raises JournalError."""
        if self._pending or self._unrecorded:
            with self._writing():
                pass

    def heartbeat(self) -> None:
        """Note, at most once a second, that the line is alive, so that an unseen interval begins there. Raises JournalError."""
        if time.monotonic() - self._alive_s >= 1.0:
            self._alive_s = time.monotonic()
            self._note(0, "UPDATE sessions SET alive_utc_ns = :now WHERE id = :session", now=time.time_ns())
            self.flush()

    def amend_recorded(self, part_id: int, record_us: int) -> None:
        """How long the part's own commit took."""
        self._note(part_id, "UPDATE parts SET record_us = :record_us WHERE id = :part", record_us=record_us)

    def amend_outcome(self, part_id: int, outcome: Outcome, lateness_us: int) -> None:
        """What the gate did. A recorded pass that it did not let through becomes `missed` (`late`)."""
        self._note(part_id, _AMEND_OUTCOME, outcome=outcome.name.lower(), lateness_us=lateness_us)

    def amend_image(self, part_id: int, path: str) -> None:
        """Where the archive has stored the part's image."""
        self._note(part_id, "UPDATE parts SET image = :path WHERE id = :part", path=path)

    def outage_begin(self, kind: Literal["camera", "output"], detail: str) -> None:
        """From now on parts may be there that the line does not see (camera) or can't reject (output)."""
        self._note(
            0,
            "INSERT INTO outages (session, kind, t_from_utc_ns, parts, detail) VALUES (:session, :kind, :now, 0, :detail)",
            kind=kind,
            now=time.time_ns(),
            detail=detail,
        )

    def outage_end(self, kind: Literal["camera", "output"]) -> None:
        """The outage of this kind is over; nothing happens if there was none."""
        self._note(
            0,
            "UPDATE outages SET t_to_utc_ns = :now WHERE session = :session AND kind = :kind AND t_to_utc_ns IS NULL",
            kind=kind,
            now=time.time_ns(),
        )

    def close(self) -> None:
        """Everything was judged and recorded: end the session cleanly. Without it, the next session reports an unseen
        interval. Raises JournalError."""
        self._last_appended = 2**62  # whatever is still noted belongs to parts that are recorded or never will be
        self._note(
            0, "UPDATE sessions SET alive_utc_ns = :now, ended_utc_ns = :now WHERE id = :session", now=time.time_ns()
        )
        self.flush()
        self._connection.close()

    def _note(self, part_id: int, sql: str, **values: object) -> None:
        with self._lock:
            self._pending.append((part_id, sql, {"part": part_id, "session": self._session, **values}))
            del self._pending[:-_PENDING_LIMIT]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction that also carries what was noted for parts recorded earlier."""
        with self._lock:
            noted = [note for note in self._pending if note[0] <= self._last_appended]
        try:
            with _transaction(self._connection):
                if self._unrecorded is not None:
                    self._insert_unrecorded(*self._unrecorded)
                for _, sql, values in noted:
                    self._connection.execute(sql, values)
                yield
        except sqlite3.Error as error:
            raise JournalError(f"journal: {error}") from error
        self._unrecorded = None
        done = {id(note) for note in noted}
        with self._lock:
            self._pending = [note for note in self._pending if id(note) not in done]

    def _insert_unrecorded(self, t_from_ns: int, t_to_ns: int, count: int) -> None:
        self._connection.execute(
            "INSERT INTO outages (session, kind, t_from_utc_ns, t_to_utc_ns, parts, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._session,
                "record_error",
                t_from_ns,
                t_to_ns,
                count,
                "rejected, but could not be recorded one by one",
            ),
        )

    def _row(self, part: Part, verdict: Verdict, stages: Stages) -> tuple[object, ...]:
        kind, reason, scores = _columns(verdict)
        return (
            part.id,
            self._session,
            *self._engine,
            part.frame_number,
            part.t_trigger_utc_ns,
            part.t_trigger_ns,
            kind,
            reason,
            scores.predicted if scores else None,
            scores.certainty if scores else None,
            json.dumps([round(value, 6) for value in scores.values]) if scores else None,
            stages.acquire_us,
            stages.queue_us,
            stages.preprocess_us,
            stages.infer_us,
            stages.verdict_us,
        )


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A read-only connection that never disturbs the line; rows can be read by column name.

    Raises JournalError if there is no journal at `path`.
    """
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
        connection.row_factory = sqlite3.Row
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise JournalError(f"{path}: can't be read as a journal: {error}") from error
    if application != _APPLICATION_ID or version != SCHEMA_VERSION:
        connection.close()
        raise JournalError(f"{path}: is no journal of this version of inspectd")
    return connection


def _columns(verdict: Verdict) -> tuple[str, str | None, Scores | None]:
    match verdict:
        case Pass(scores):
            return "pass", None, scores
        case Fault(scores):
            return "fault", None, scores
        case Uncertain(scores):
            return "uncertain", None, scores
        case Missed(reason):
            return "missed", reason.value, None


def _prepare(connection: sqlite3.Connection, config: JournalConfig) -> None:
    """Settings, and the schema where the file is new. Raises JournalError for a file that is not ours."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {config.synchronous.upper()}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA foreign_keys = ON")
    if tables == 0:
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise JournalError(f"{config.path}: is a database of something else; give journal.path another file")
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"{config.path}: has schema {version}, this version of inspectd writes {SCHEMA_VERSION}; "
            "update inspectd or move the file away"
        )


def _begin_session(connection: sqlite3.Connection) -> int:
    now_ns = time.time_ns()
    cursor = connection.execute("INSERT INTO sessions (started_utc_ns, alive_utc_ns) VALUES (?, ?)", (now_ns, now_ns))
    session = int(cursor.lastrowid or 0)
    unclean = connection.execute(
        "SELECT id, max(alive_utc_ns, coalesce((SELECT max(t_utc_ns) FROM parts WHERE session = sessions.id), 0)) "
        "FROM sessions WHERE ended_utc_ns IS NULL AND id <> ?",
        (session,),
    ).fetchall()
    for ended, t_from_ns in unclean:
        connection.execute(
            "INSERT INTO outages (session, kind, t_from_utc_ns, t_to_utc_ns, parts, detail) VALUES (?, ?, ?, ?, 0, ?)",
            (session, "unseen", min(t_from_ns, now_ns), now_ns, "the service ended without finishing its parts"),
        )
        connection.execute("UPDATE sessions SET ended_utc_ns = alive_utc_ns WHERE id = ?", (ended,))
        log.warning("parts of this interval were not seen", seconds=round((now_ns - t_from_ns) / 1e9, 1), session=ended)
    return session


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
