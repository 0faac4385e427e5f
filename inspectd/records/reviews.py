"""What people said a label really was: decisions of reviewers, each with a copy of the photo.

The archive deletes old images, so a reviewed photo is copied. Decisions are only ever added; taking one back adds a row too.
A label is known by its part number and the time of its trigger: after a lost journal, part numbers may begin anew.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from inspectd.class_name import check_class_name
from inspectd.errors import ConfigError, ReviewError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.text_file import read_bytes

UNKNOWN = "unknown"
"""A decision: the label is none of the classes."""

_FILE = "reviews.sqlite"
_PHOTOS = "photos"
_APPLICATION_ID = 0x1A5BEC7E
_SCHEMA_VERSION = 1
_PATIENCE_S = 5.0
_MAX_PHOTO_BYTES = 1 << 28
_PNG = b"\x89PNG\r\n\x1a\n"

_SCHEMA = f"""
CREATE TABLE labels (  -- one row per label that somebody has looked at
    id INTEGER PRIMARY KEY,
    part INTEGER NOT NULL,  -- its part number
    t_trigger_utc_ns INTEGER NOT NULL,  -- time of its trigger
    photo TEXT NOT NULL,  -- file name of the copy
    agreed TEXT,  -- what all its reviewers say; empty if they disagree, or if nobody says anything
    reviewers INTEGER NOT NULL DEFAULT 0,  -- how many say something
    UNIQUE (part, t_trigger_utc_ns)
) STRICT;
CREATE TABLE decisions (  -- rows are never changed
    id INTEGER PRIMARY KEY,
    label INTEGER NOT NULL REFERENCES labels (id),
    by TEXT NOT NULL,  -- name of the reviewer
    says TEXT,  -- the class, or `{UNKNOWN}`
    undoes INTEGER UNIQUE REFERENCES decisions (id),  -- the decision that this row takes back
    t_utc_ns INTEGER NOT NULL,  -- when
    CHECK ((says IS NULL) = (undoes IS NOT NULL))
) STRICT;
CREATE INDEX decisions_by_label ON decisions (label, by);
CREATE INDEX decisions_by_reviewer ON decisions (by);
CREATE VIEW said AS  -- decisions that were not taken back
    SELECT id, label, by, says, t_utc_ns FROM decisions AS given
    WHERE says IS NOT NULL AND NOT EXISTS (SELECT 1 FROM decisions AS undo WHERE undo.undoes = given.id);
CREATE VIEW standing AS  -- the newest of them of each reviewer on a label
    SELECT max(id) AS id, label, by, says, t_utc_ns FROM said GROUP BY label, by;
CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER decisions_remain BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'a decision is never deleted'); END;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
"""  # noqa: S608

_LAST_OF_REVIEWER = "SELECT id, label FROM said WHERE by = ? ORDER BY id DESC LIMIT 1"

_SUM_UP = """
UPDATE labels SET reviewers = said.reviewers, agreed = said.agreed
FROM (SELECT count(*) AS reviewers, CASE WHEN min(says) = max(says) THEN min(says) END AS agreed FROM standing WHERE label = ?1) AS said
WHERE id = ?1
"""

_STANDING = """
SELECT labels.id, part, t_trigger_utc_ns, photo, agreed, says, by, t_utc_ns
FROM labels JOIN standing ON standing.label = labels.id
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer says about one label."""

    part: int
    says: str
    """A class, or `UNKNOWN`."""
    by: str
    t_utc_ns: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A label on which at least one decision stands."""

    part: int
    label: str | None
    """What all its reviewers say; None if they disagree."""
    photo: Path
    t_trigger_utc_ns: int
    decisions: tuple[Decision, ...]
    """The newest decision of each reviewer, oldest first."""


class Reviews:
    """The reviews in one folder. Any thread may call any method; each is one short transaction."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Raises ReviewError if the folder can't be used, or if there are no reviews to read."""
        self._folder = folder
        self._lock = threading.Lock()
        self._unneeded: Path | None = None
        """The photo that was copied in this transaction. It goes again if its row can't be written."""
        path = folder / _FILE
        try:
            if not read_only:
                (folder / _PHOTOS).mkdir(parents=True, exist_ok=True)
            elif not path.is_file():
                raise ReviewError(f"{path}: does not exist; nobody has reviewed a label yet")
            self._connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=_PATIENCE_S,
            )
        except (OSError, sqlite3.Error) as error:
            raise ReviewError(f"{folder}: reviews can't be kept there: {error}") from error
        try:
            self._prepare(path, read_only)
            self._file = _identity(path)
        except (OSError, sqlite3.Error) as error:
            self._connection.close()
            raise ReviewError(f"{path}: can't be used for reviews: {error}") from error
        except ReviewError:
            self._connection.close()
            raise

    def decide(self, part: int, says: str, by: str, *, photo: Path, t_trigger_utc_ns: int) -> None:
        """Add a decision, and copy the photo if there is no copy yet.

        `says`: a class or `UNKNOWN`. The same reviewer may decide again; the newest decision counts.
        Raises ValueError if `says` is not a class name; ReviewError if it could not be kept: then nothing was changed.
        """
        check_class_name(says)
        with self._lock, self._writing(f"the decision on part {part}"):
            name = f"{part:09d}_{t_trigger_utc_ns}.png"
            if not (self._folder / _PHOTOS / name).exists():
                self._copy(photo, name, part)
            self._connection.execute(
                "INSERT OR IGNORE INTO labels (part, t_trigger_utc_ns, photo) VALUES (?, ?, ?)",
                (part, t_trigger_utc_ns, name),
            )
            (label,) = self._connection.execute(
                "SELECT id FROM labels WHERE part = ? AND t_trigger_utc_ns = ?", (part, t_trigger_utc_ns)
            ).fetchone()
            self._connection.execute(
                "INSERT INTO decisions (label, by, says, t_utc_ns) VALUES (?, ?, ?, ?)",
                (label, by, says, time.time_ns()),
            )
            self._connection.execute(_SUM_UP, (label,))

    def undo(self, by: str) -> int | None:
        """Take back this reviewer's last decision that stands. Returns its part number; None if there is none.

        Raises ReviewError if that could not be kept: then nothing was changed.
        """
        with self._lock, self._writing("the undo"):
            last = self._connection.execute(_LAST_OF_REVIEWER, (by,)).fetchone()
            if last is None:
                return None
            decision, label = last
            self._connection.execute(
                "INSERT INTO decisions (label, by, undoes, t_utc_ns) VALUES (?, ?, ?, ?)",
                (label, by, decision, time.time_ns()),
            )
            self._connection.execute(_SUM_UP, (label,))
            (part,) = self._connection.execute("SELECT part FROM labels WHERE id = ?", (label,)).fetchone()
            return int(part)

    def of(self, parts: Mapping[int, int]) -> dict[int, tuple[Decision, ...]]:
        """The decisions that stand, by part number. `parts`: part number -> time of its trigger in UTC ns.

        A part without a decision is left out. Raises ReviewError.
        """
        found: dict[int, tuple[Decision, ...]] = {}
        with self._reading():
            for part, t_trigger_utc_ns in parts.items():
                rows = self._connection.execute(
                    f"{_STANDING} WHERE part = ? AND t_trigger_utc_ns = ? ORDER BY standing.id",
                    (part, t_trigger_utc_ns),
                ).fetchall()
                if rows:
                    found[part] = tuple(_decision(row) for row in rows)
        return found

    def photo(self, part: int, t_trigger_utc_ns: int) -> Path | None:
        """The copy of a label's photo; None if nobody has reviewed it. Raises ReviewError."""
        with self._reading():
            row = self._connection.execute(
                "SELECT photo FROM labels WHERE part = ? AND t_trigger_utc_ns = ?", (part, t_trigger_utc_ns)
            ).fetchone()
        return None if row is None else self._folder / _PHOTOS / row[0]

    def reviewed(self) -> Iterator[Reviewed]:
        """All labels on which a decision stands, by the time of their trigger. Raises ReviewError."""
        with self._reading():
            rows = self._connection.execute(f"{_STANDING} ORDER BY t_trigger_utc_ns, labels.id, standing.id").fetchall()
        begin = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[end][0] != rows[begin][0]:
                _, part, t_trigger_utc_ns, photo, agreed, *_ = rows[begin]
                decisions = tuple(_decision(row) for row in rows[begin:end])
                yield Reviewed(part, agreed, self._folder / _PHOTOS / photo, t_trigger_utc_ns, decisions)
                begin = end

    def counts(self) -> dict[str, int]:
        """Label -> how many parts all their reviewers say it of. Raises ReviewError."""
        with self._reading():
            return dict(
                self._connection.execute(
                    "SELECT agreed, count(*) FROM labels WHERE agreed IS NOT NULL GROUP BY agreed ORDER BY agreed"
                ).fetchall()
            )

    def attach_to(self, journal: sqlite3.Connection) -> None:
        """Let a connection to the journal read `reviews.labels` (id, part, t_trigger_utc_ns, agreed, reviewers) and `reviews.said`
        (label, by, says).

        The connection must accept URIs. Raises sqlite3.Error.
        """
        journal.execute("ATTACH ? AS reviews", (f"{(self._folder / _FILE).resolve().as_uri()}?mode=ro",))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _prepare(self, path: Path, read_only: bool) -> None:
        """Without WAL, a reader needs no right to write in the folder."""
        if not read_only:
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if tables == 0:
                    for statement in _statements(_SCHEMA):
                        self._connection.execute(statement)
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise ReviewError(f"{path}: is a database of another program; give another folder for the reviews")
        if version != _SCHEMA_VERSION:
            raise ReviewError(
                f"{path}: has schema {version}, this version of inspectd knows {_SCHEMA_VERSION}; update inspectd"
            )

    def _check_file(self) -> None:
        """What is written into a file that was replaced is lost. Raises OSError, ReviewError."""
        if _identity(self._folder / _FILE) != self._file:
            raise ReviewError(f"{self._folder / _FILE}: was replaced by another file; start the page again")

    def _copy(self, photo: Path, name: str, part: int) -> None:
        data = read_bytes(photo, _MAX_PHOTO_BYTES)
        if not data.startswith(_PNG):
            raise ReviewError(f"the decision on part {part} was not kept: {photo} is not a PNG image")
        with atomic_write(self._folder / _PHOTOS / name, flush=True) as unfinished:
            unfinished.write_bytes(data)
        self._unneeded = self._folder / _PHOTOS / name

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        self._unneeded = None
        try:
            self._check_file()
            with self._transaction():
                yield
        except BaseException as error:
            if self._unneeded is not None:
                with suppress(OSError):
                    self._unneeded.unlink()
            if isinstance(error, OSError | sqlite3.Error | ConfigError | UnicodeEncodeError):
                raise ReviewError(f"{what} was not kept: {_reason(error)}") from error
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._lock:
                self._check_file()
                yield
        except (OSError, sqlite3.Error) as error:
            raise ReviewError(f"{self._folder / _FILE}: can't be read: {error}") from error


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _decision(row: tuple[int, int, int, str, str | None, str, str, int]) -> Decision:
    _, part, _, _, _, says, by, t_utc_ns = row
    return Decision(part, says, by, t_utc_ns)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _statements(script: str) -> Iterator[str]:
    """`executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
