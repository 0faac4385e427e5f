"""Write a whole file that must survive a power cut. Whoever wants to do something else with an OSError uses `atomic_write`."""

import os
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Atomically, and on the disk when it returns. Makes its folder if there is none. `mode`: permissions; None: as umask has them.

    Raises ConfigError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, flush=True) as unfinished:
            unfinished.write_bytes(data)
            if mode is not None:
                unfinished.chmod(mode)
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}") from error


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """With these permissions from the first byte on, for a key. Raises ConfigError, also if the file exists."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}") from error
