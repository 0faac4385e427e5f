"""What the journal does not say about the line: its answer to `status`, the free disk space, and the engine's threshold.

All of it may take long or hang, so a thread of its own asks, once for all who look. They get the last answer with its age.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from inspectd.control.client import ask
from inspectd.errors import InspectdError
from inspectd.serve.engine_facts import EngineFacts, read_engine_facts
from inspectd.serve.line_facts import LineFacts

log = structlog.get_logger()

EVERY_S = 2.0
FRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk under a folder."""

    name: str
    free_gb: float
    free_share: float


@dataclass(frozen=True, slots=True)
class LineNow:
    """One answer."""

    status: dict[str, Any] | None = None
    """What `inspectd control status` shows; None if the line did not answer."""
    problem: str | None = None
    """Why it did not answer."""
    disks: tuple[Disk, ...] = ()
    engine: EngineFacts | None = None
    asked_s: float = 0.0
    """Monotonic seconds."""

    @property
    def pass_class(self) -> str | None:
        return None if self.engine is None else self.engine.pass_class

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.asked_s < FRESH_S


class LineAsker:
    """Asks every 2 seconds while somebody looks."""

    def __init__(self, line: LineFacts, is_watched: Callable[[], bool]) -> None:
        self.now = LineNow()
        self._line = line
        self._is_watched = is_watched
        self._ending = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line-asker", daemon=True)
        self._thread.start()

    def again(self) -> None:
        """Ask now: the answer has just changed."""
        self._wake.set()

    def close(self) -> None:
        """Does not wait for an answer that is on its way."""
        self._ending = True
        self._wake.set()

    def _run(self) -> None:
        while not self._ending:
            if self._is_watched() or self.now.asked_s == 0:
                try:
                    self.now = self._ask()
                except Exception as error:  # a fault of this program: it must go on asking
                    log.error("the line can't be asked", error=f"{type(error).__name__}: {error}", exc_info=error)
                    self.now = LineNow(
                        problem=f"this program has failed ({type(error).__name__})", asked_s=time.monotonic()
                    )
            self._wake.wait(EVERY_S)
            self._wake.clear()

    def _ask(self) -> LineNow:
        status, problem = None, None
        if self._line.control is not None:
            try:
                status = ask(self._line.control, "status")
            except InspectdError as error:
                problem = str(error)
        return LineNow(status, problem, _disks(self._line), self._engine(), time.monotonic())

    def _engine(self) -> EngineFacts | None:
        """None if it can't be read; other pages say what is wrong with it."""
        with suppress(InspectdError):
            return read_engine_facts(self._line.engine, self._line.config.get("inference") or {})
        return None


def _disks(line: LineFacts) -> tuple[Disk, ...]:
    """Of the journal, and of the archive if it has a disk of its own."""
    found: dict[int, Disk] = {}
    for name, folder in (("journal", line.journal.parent), ("archive", line.archive)):
        try:
            if folder is not None and (device := folder.stat().st_dev) not in found:
                disk = os.statvfs(folder)
                free = disk.f_bavail * disk.f_frsize
                found[device] = Disk(name, free / 1e9, free / max(1, disk.f_blocks * disk.f_frsize))
        except OSError:
            continue  # its figure is left out
    return tuple(found.values())
