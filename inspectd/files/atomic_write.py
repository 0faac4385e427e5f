"""Write a file so that nobody ever sees a part of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, flush: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to. When the block ends, what is there takes the place of `path` in one step.

    A reader sees the old file or the new one. With `flush` the same holds after a power cut: it waits for the disk. If
    the block fails, `path` stays as it was. A symbolic link or a folder can be made in the same way.
    Raises OSError.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        yield unfinished
        if flush and not unfinished.is_symlink():
            flush_to_disk(unfinished)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):  # a folder stays
            unfinished.unlink()
        raise
    if flush:
        flush_to_disk(path.parent)


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
