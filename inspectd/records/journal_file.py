"""The journal's file: who owns it, whether it is damaged, and whether it is still the one that was opened."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from inspectd.errors import InUseError, JournalError
from inspectd.ownership import Claim
from inspectd.records.journal_checks import (
    HIGHEST_PLAUSIBLE,
    has_impossible_number,
    has_impossible_version,
    has_tables_of_its_version,
)
from inspectd.records.journal_schema import APPLICATION_ID, has_impossible_row, is_new, version_of
from inspectd.records.reading import UNREADABLE

log = structlog.get_logger()

_CHECK_LIMIT_S = 10.0
"""The check takes 1.2 s per million parts. In a very large journal it ends after this time, so that the line starts."""
_COMPANIONS = ("", "-wal", "-shm")
_HEADER_SIZE = 100
_MAGIC = b"SQLite format 3\0"
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


@dataclass(frozen=True, slots=True)
class SetAside:
    """A damaged journal that was moved out of the way."""

    path: Path
    reason: str
    last_part: int
    """The highest part number that can still be read, in it or in earlier ones that were set aside; 0 if there is none."""


def real_path(path: Path) -> Path:
    """Where the journal's data are, with links followed. A missing folder is made.

    Raises JournalError if that can't be a file.
    """
    try:
        real = path.resolve()
        if real.is_symlink():  # Python 3.13 raises nothing for it
            raise JournalError(f"{path}: can't be opened: its links lead in a circle")
        if path.is_symlink() and not real.parent.is_dir():
            raise JournalError(
                f"{path}: is a link to {real}, whose folder does not exist; check that its disk is mounted"
            )
        real.parent.mkdir(parents=True, exist_ok=True)
        if real.exists() and not real.is_file():
            raise JournalError(f"{path}: can't be opened: it is a folder or a device; journal.path must be a file")
    except (OSError, RuntimeError) as error:
        raise JournalError(f"{path}: can't be opened: {error}") from error
    return real


def claim_file(path: Path) -> Claim:
    """Own the journal. Links and mounts of one file count as one journal.

    Raises InUseError naming the process that writes it, JournalError if the file can't be made.
    """
    try:
        path.touch()
        status = path.stat()
    except OSError as error:
        raise JournalError(f"{path}: can't be written: {error}") from error
    try:
        return Claim(f"journal {status.st_dev}:{status.st_ino}")
    except InUseError as error:
        raise InUseError(f"{path}: {error}; each line needs another journal") from error


def set_damaged_aside(path: Path) -> SetAside | None:
    """Move a damaged journal out of the way, together with its log, so that a new one can begin at `path`.

    Raises JournalError, and moves nothing, if the file is not a journal or can't be read for another reason.
    """
    log_file = path.with_name(path.name + "-wal")
    if path.exists() and path.stat().st_size:
        reason = damage(path)
        if reason is None:
            return None
    elif log_file.exists() and log_file.stat().st_size:
        reason = "the file is missing or empty, and only its log (-wal) exists"
    else:
        return None
    aside = _move(path)
    log.error("the journal is damaged: it is set aside, and a new one begins", damage=reason, kept_as=str(aside))
    return SetAside(aside, reason, _highest_part_aside(path))


def set_aside_before(path: Path) -> SetAside | None:
    """What an earlier start has set aside. That start may have ended before the new journal began."""
    files = _files_aside(path)
    if not files:
        return None
    return SetAside(files[-1], "it was set aside at an earlier start", _highest_part_aside(path))


def _files_aside(path: Path) -> list[Path]:
    """The damaged journals that were set aside, by the time in their names, without their -wal and -shm files."""
    names = re.compile(re.escape(path.name) + r"\.damaged-\d{8}T\d{6}(-\d+)?")
    try:
        return sorted(each for each in path.parent.iterdir() if names.fullmatch(each.name) and each.is_file())
    except OSError:  # a folder may be writable and yet not readable
        return []


def _highest_part_aside(path: Path) -> int:
    # SQLite deletes the log of an empty file when it opens it
    return max((_highest_part(aside) for aside in _files_aside(path) if aside.stat().st_size), default=0)


def damage(path: Path) -> str | None:
    """What is wrong with the journal; None if the check found no damage.

    Raises JournalError if the file is not a journal, has a later version, or can't be read for another reason than damage.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
        if len(header) < _HEADER_SIZE:
            return "the file was cut short"
        # read-only: an ordinary connection would write the log into the damaged file when it is closed
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
        ) as connection:
            return _damage(connection, path, header)
    except UNREADABLE as error:
        if is_damage(error) and _was_ours(header):
            return str(error)
        raise JournalError(f"{path}: is not a usable journal ({error}); move it away to begin a new one") from error
    except OSError as error:
        raise JournalError(f"{path}: can't be read: {error}") from error


def _damage(connection: sqlite3.Connection, path: Path, header: bytes) -> str | None:
    if is_new(connection):
        return None
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID and {"sessions", "engines", "parts", "outages"} <= tables:
        return "its application id was changed"
    if application == APPLICATION_ID and has_impossible_version(connection):
        return "its version was changed"
    version_of(connection, path)
    if any(each not in (1, 2) for each in header[18:20]) or not has_tables_of_its_version(connection):
        return "its header or its tables were changed"
    end_s = time.monotonic() + _CHECK_LIMIT_S
    connection.set_progress_handler(lambda: int(time.monotonic() > end_s), 100_000)
    try:
        (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if finding == "ok" and (has_impossible_row(connection) or has_impossible_number(connection)):
            return "a row has values that no line writes"
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.warning("the journal is large: only a part of it was checked for damage", seconds=_CHECK_LIMIT_S)
        return None
    return None if finding == "ok" else str(finding)


def is_damage(error: BaseException) -> bool:
    """Whether the database itself is damaged. A full disk or a lock is not damage."""
    if isinstance(error, UnicodeDecodeError) or "Could not decode" in str(error):  # by Python: it has no code of SQLite
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return (
        code & 0xFF in _DAMAGED
        or code == sqlite3.SQLITE_IOERR_SHORT_READ
        or any(words in str(error) for words in ("unsupported file format", "malformed"))
    )


def _was_ours(header: bytes) -> bool:
    """Whether the file was a journal, by what is left of its application id."""
    application, ours = header[68:72], APPLICATION_ID.to_bytes(4, "big")
    return sum(map(int.__eq__, application, ours)) >= 2 or (header.startswith(_MAGIC) and application != bytes(4))


def _move(path: Path) -> Path:
    """Rename the file and its companions. The file comes first: its log alone is noticed at the next start."""
    moment = time.strftime("%Y%m%dT%H%M%S")
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.damaged-{moment}" + (f"-{number}" if number else ""))
        if not any(aside.with_name(aside.name + each).exists() for each in _COMPANIONS):
            break
        number += 1
    try:
        for each in _COMPANIONS:
            source = path.with_name(path.name + each)
            if source.exists():
                source.rename(aside.with_name(aside.name + each))
    except OSError as error:
        raise JournalError(f"{path}: is damaged and can't be set aside: {error}") from error
    return aside


def _highest_part(path: Path) -> int:
    """The highest part number, from the tables that can still be read."""
    highest = 0
    queries = (
        "SELECT max(id) FROM parts",
        "SELECT max(last_part) FROM sessions",
        "SELECT max(first_part) - 1 FROM sessions",
        "SELECT max(last_part) FROM outages",
    )
    for query in queries:
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                (value,) = connection.execute(query).fetchone()
        except UNREADABLE:
            continue
        if isinstance(value, int) and highest < value < HIGHEST_PLAUSIBLE:
            highest = value
    return highest


class Place:
    """Where the files of an open journal are. If they are deleted or replaced, every later record is lost."""

    def __init__(self, path: Path) -> None:
        self._real = path.resolve()
        watched = (path, *(Path(f"{self._real}{each}") for each in _COMPANIONS))
        self._files = {file: _identity(file) for file in watched}

    def problem(self) -> str | None:
        """A sentence if a file is not the one that was opened."""
        for file, identity in self._files.items():
            try:
                if _identity(file) != identity:
                    return f"{file} was replaced while the line runs"
            except OSError as error:
                return f"{file} was deleted or moved while the line runs: {error.strerror}"
        if self._real.stat().st_size == 0:
            return f"{self._real} was emptied while the line runs"
        return None

    @contextmanager
    def log_kept(self) -> Iterator[None]:
        """While the journal is closed in this block, the log's files stay, for users who may only read.

        The last connection deletes these files when it is closed, such users can't make them, and without them SQLite does
        not open the journal. A connection that can't write deletes nothing, so here it is the last one.
        """
        with ExitStack() as stack:
            with suppress(sqlite3.Error):
                reader = stack.enter_context(closing(sqlite3.connect(f"{self._real.as_uri()}?mode=ro", uri=True)))
                reader.execute("SELECT 1 FROM sqlite_master").fetchone()
            yield


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino
