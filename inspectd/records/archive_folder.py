"""The archive's folder: one folder per day, in it <part number>_<verdict>.png. All other files belong to somebody else.

Images are deleted in the order of their part numbers, since the wall clock, which names the days, may have been wrong.
"""

import heapq
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger()

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_IMAGE = re.compile(r"(\d{9,15})_.*\.png", re.DOTALL)
_UNFINISHED = re.compile(r"\d{9,15}_.*\.tmp", re.DOTALL)
_LONGEST_LABEL = 50
_SCAN_EVERY_S = 600.0
_CANDIDATES = 10_000


def file_name(part_id: int, label: str) -> str:
    """The image's file name. Characters of the label that could leave the folder are replaced."""
    safe = re.sub(r"[^\w.-]", "_", label)[:_LONGEST_LABEL]
    return f"{part_id:09d}_{safe}.png"


def highest_part_id(folder: Path) -> int:
    """The highest part number of all images in the folder; 0 if there are no images."""
    return max((part_id for part_id, _ in _images(folder)), default=0)


def remove_unfinished(folder: Path) -> None:
    """Delete the unfinished files of a process that was killed. Files that can't be deleted stay."""
    for entry in _files(folder):
        if _UNFINISHED.fullmatch(entry.name):
            with suppress(OSError):
                Path(entry.path).unlink()


@dataclass(frozen=True, slots=True, order=True)
class _Image:
    part_id: int
    path: str
    size: int


class ImageRetention:
    """Keeps the images below a limit. Sizes are added up as images come; the disk is scanned only every 10 minutes."""

    def __init__(self, folder: Path, max_gb: float) -> None:
        self._folder = folder
        self._limit = round(max_gb * 1e9)
        self._total = 0
        self._oldest: list[_Image] = []
        """The next one to delete comes last."""
        self._undeletable: set[str] = set()
        """They are not counted either, so that no other image is deleted in their place."""
        self._next_scan_s = 0.0

    def added(self, size: int) -> None:
        self._total += size

    def make_room(self, size: int) -> None:
        """Delete the oldest images until `size` more bytes fit, or no image is left. Never raises."""
        if time.monotonic() >= self._next_scan_s:
            self._scan()
        while self._total + size > self._limit:
            if not self._oldest:
                self._scan()
            if not self._oldest:
                return
            self._delete(self._oldest.pop())

    def _scan(self) -> None:
        self._next_scan_s = time.monotonic() + _SCAN_EVERY_S
        self._total = 0
        self._oldest = heapq.nsmallest(_CANDIDATES, self._deletable())[::-1]

    def _deletable(self) -> Iterator[_Image]:
        for part_id, entry in _images(self._folder):
            if entry.path in self._undeletable:
                continue
            with suppress(OSError):
                size = entry.stat(follow_symlinks=False).st_size
                self._total += size
                yield _Image(part_id, entry.path, size)

    def _delete(self, image: _Image) -> None:
        path = Path(image.path)
        self._total -= image.size
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if not self._undeletable:
                log.warning("an old image can't be deleted: the archive exceeds archive.max_gb by it", error=str(error))
            self._undeletable.add(image.path)
            return
        with suppress(OSError):
            path.parent.rmdir()


def _images(folder: Path) -> Iterator[tuple[int, "os.DirEntry[str]"]]:
    for entry in _files(folder):
        if (match := _IMAGE.fullmatch(entry.name)) is not None:
            yield int(match[1]), entry


def _files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """The regular files in the folders of days. What can't be read is left out."""
    for day in _entries(folder):
        if _DAY.fullmatch(day.name):
            for entry in _entries(Path(day.path)):
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False):
                        yield entry


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
