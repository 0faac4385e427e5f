"""One process at a time in the folder of a run, also if a node was given up while its process still goes on."""

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspectd.errors import ConfigError, InUseError
from inspectd_tools.experiments.paths import LOCK

WAIT_S = 300.0
"""A node without a connection ends its processes after about a minute, and an NFS server then frees their locks in 90 s."""
_POLL_S = 0.5
_PR_SET_PDEATHSIG = 1


@contextmanager
def sole(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Lock the folder, after waiting for a process that has the lock. A killed process leaves no lock.

    Raises InUseError after `wait_s`, and ConfigError if files can't be locked there.
    """
    end_s = time.monotonic() + wait_s
    with (folder / LOCK).open("ab") as file:
        while not _lock(file.fileno(), folder):
            if time.monotonic() >= end_s:
                raise InUseError(f"{folder}: another process has been doing this run for {wait_s:.0f} s; end it first")
            time.sleep(_POLL_S)
        yield


def die_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG)."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1 or os.getppid() != parent:  # it ended before
        sys.exit(os.EX_TEMPFAIL)


def _lock(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ConfigError(f"{folder}: files can't be locked there ({error.strerror}); mount it with locks") from error
    return True
