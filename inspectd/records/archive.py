"""Images on disk: every rejected label and every n-th passed one. If the disk is too slow, images are dropped and counted:
the line never waits."""

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import structlog
from pydantic import Field

from inspectd.files.atomic_write import atomic_write
from inspectd.logs import Throttle
from inspectd.part import Image, Part, Pass, Verdict, words
from inspectd.records.archive_folder import ImageRetention, file_name, remove_unfinished
from inspectd.section import ConfigPath, Section

log = structlog.get_logger()

_LOWEST_PRIORITY = 19


class ArchiveConfig(Section):
    """Which images are kept, where, and how much disk space they may take."""

    folder: ConfigPath
    """The folder of the archive. It holds one folder per day, and in that one file per image: <part number>_<verdict>.png."""
    every_nth_pass: int = Field(default=0, ge=0, le=1_000_000)
    """Every n-th passed label is kept too; 0 means none. Rejected labels are always kept."""
    max_gb: float = Field(default=20, gt=0, le=100_000, allow_inf_nan=False)
    """When the images take more than this many gigabytes, those with the lowest part numbers are deleted. Other files in the
    folder are neither deleted nor counted."""
    max_waiting: int = Field(default=64, ge=1, le=4096)
    """At most this many images wait in memory for the disk. Further images are dropped; the report and the status line count
    them. Larger: a slow disk loses fewer images, and the line needs more memory."""


@dataclass(slots=True)
class Counters:
    stored: int = 0
    dropped: int = 0
    failed: int = 0


class Archive:
    """One writer thread at the lowest priority. Use it as a context manager: at the end it writes the images that wait."""

    def __init__(
        self,
        config: ArchiveConfig,
        on_stored: Callable[[int, str], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """The writer thread calls `on_stored(part_id, path)`. `on_lost()` is called for each image that was dropped or could
        not be stored, by any thread."""
        self.counters = Counters()
        self._config = config
        self._on_stored = on_stored
        self._on_lost = on_lost
        self._passes = 0
        self._waiting: queue.Queue[tuple[Part, str, Image] | None] = queue.Queue(config.max_waiting)
        self._failures = Throttle(every_s=60)
        self._retention = ImageRetention(config.folder, config.max_gb)
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._waiting.put(None, timeout=1)
        except queue.Full:
            waiting = self._waiting.qsize()
            log.warning("the archive is too slow: images that still wait are not stored", waiting=waiting)
            for _ in range(waiting):
                self._on_lost()
            return
        self._thread.join(timeout=5)

    def offer(self, part: Part, verdict: Verdict, image: Image) -> None:
        """Store the image if the config says so. Never blocks and never raises. `image` must not be changed later."""
        if isinstance(verdict, Pass):
            self._passes += 1
            if self._config.every_nth_pass == 0 or self._passes % self._config.every_nth_pass:
                return
        try:
            self._waiting.put_nowait((part, words(verdict).label, image))
        except queue.Full:
            self.counters.dropped += 1
            self._on_lost()

    def _run(self) -> None:
        # nice values are per thread on Linux (setpriority(2), notes)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        remove_unfinished(self._config.folder)
        while (entry := self._waiting.get()) is not None:
            part, label, image = entry
            try:
                self._store(part, label, image)
            except Exception as error:
                self._complain(error)

    def _store(self, part: Part, label: str, image: Image) -> None:
        day = time.strftime("%Y-%m-%d", time.localtime(part.t_trigger_utc_ns / 1e9))
        path = self._config.folder / day / file_name(part.id, label)
        done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise OSError("image can't be encoded")
        self._retention.make_room(len(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished:
            unfinished.write_bytes(data.tobytes())
        self._retention.added(len(data))
        self.counters.stored += 1
        self._on_stored(part.id, str(path))

    def _complain(self, error: Exception) -> None:
        self.counters.failed += 1
        self._on_lost()
        if self._failures.is_open(time.monotonic()):
            log.error("image can't be stored", error=f"{type(error).__name__}: {error}", failed=self.counters.failed)
