"""One process at a time in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspectd.errors import ConfigError, InUseError


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Lock `folder` for this process until the block ends. A killed process leaves no lock.

    Raises ConfigError for any OSError, also one of the block. Without `wait`, raises InUseError if another process has the lock.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(descriptor, folder, wait)
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from error


def _lock(descriptor: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUseError(f"{folder}: another process works in this folder; try again when it has ended") from error
