"""The line's config file as it is now. The line itself may still use an older one, which it read at its start."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError
from inspectd.serve.web.command import inspectd

_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Said:
    """What `inspectd config` says about the file."""

    config: dict[str, Any]
    schema: dict[str, Any]
    changed_s: float
    """When the file was changed, in Unix time."""


class LineFile:
    """Reads the file again only after it was changed, and once for all users who ask meanwhile: each time costs a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._version: object = None
        self._found: Said | ConfigError = ConfigError(f"{path}: was not read yet")

    async def read(self) -> Said:
        """Raises ConfigError with what is wrong in the file, CommandError if it can't be found out."""
        async with self._lock:
            try:
                status = self._path.stat()
            except OSError as error:
                raise ConfigError(f"{self._path}: can't be read: {error.strerror}") from error
            version = (status.st_ino, status.st_size, status.st_ctime_ns)
            if version != self._version:
                done = await inspectd("config", "--config", str(self._path), within_s=_WITHIN_S)
                if done.code:
                    self._found = ConfigError(done.complaint.removeprefix("inspectd: "))
                else:
                    self._found = Said(**done.json(), changed_s=status.st_mtime)
                self._version = version
        if isinstance(self._found, ConfigError):
            raise self._found
        return self._found
