"""What a line fetches from a repository, after a check of every signature, version, date, length and SHA-256.

The checks are those of The Update Framework's own client, `tuf.ngclient`.
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
)
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, TargetFile, Timestamp
from tuf.ngclient import Updater

from inspectd.errors import ConfigError, NotReachableError, RepositoryError
from inspectd.files.text_file import read_bytes, refuse_odd
from inspectd.fleet.assignments import MANIFESTS, TARGET, Assigned, Assignments, Kind
from inspectd.fleet.config import PullConfig
from inspectd.fleet.fetcher import Fetcher
from inspectd.section import checked

_MOST_FILES = 10_000
_MOST_ASSIGNMENTS = 1 << 20
_SPARE_BYTES = 500_000_000
"""The journal of the line may be on the same disk, so this much stays free."""

T = TypeVar("T")


class Download:
    """One look at the repository. All methods raise RepositoryError if it can't be trusted, NotReachableError if it is away or
    slow, and OSError for the disk."""

    def __init__(self, config: PullConfig) -> None:
        """Raises ConfigError if the trusted root can't be used."""
        self._config = config
        self._metadata = config.state / "metadata"
        self._metadata.mkdir(exist_ok=True)
        for left in self._metadata.glob("tmp*"):  # of a pull that was killed
            left.unlink()
        root = read_bytes(config.trusted_root)
        try:
            self._updater = Updater(
                str(self._metadata),
                f"{config.url}metadata/",
                target_base_url=f"{config.url}targets/",
                fetcher=Fetcher(config.url, config.ca),
                bootstrap=root,
            )
        except TufError as error:
            raise ConfigError(
                f"trusted_root: {config.trusted_root}: is not the root of a repository: {error}"
            ) from error

    def assigned(self, line: str) -> Assigned:
        """What a line uses."""
        with self._in_words():
            self._updater.refresh()
            target = self._target(TARGET)
            path = self._metadata / "assignments"
            if target.length > _MOST_ASSIGNMENTS:
                raise RepositoryError(
                    f"{self._config.url}: {TARGET} is larger than the {_MOST_ASSIGNMENTS} bytes allowed"
                )
            self._fetch(target, path)
        assigned = checked(Assignments, json.loads(path.read_bytes()), path, RepositoryError).of(line)
        if assigned == Assigned():
            raise RepositoryError(f"{self._config.url}: assigns nothing to a line of the name {line}")
        return assigned

    @property
    def expires_utc(self) -> datetime | None:
        """When the newest timestamp that was seen expires."""
        try:
            return Metadata[Timestamp].from_bytes((self._metadata / "timestamp.json").read_bytes()).signed.expires
        except Exception:  # for people only: nothing depends on it
            return None

    def hash(self, kind: Kind, name: str) -> str:
        """SHA-256 of the manifest of a bundle, which identifies all of it."""
        with self._in_words():
            return self._target(f"bundles/{name}/{MANIFESTS[kind]}").hashes["sha256"]

    def missing(self, kind: Kind, name: str, folder: Path) -> dict[str, TargetFile]:
        """The files of a bundle that `folder` lacks, or has with another content."""
        with self._in_words():
            return {
                file: target
                for file, target in self._files(kind, name).items()
                if self._updater.find_cached_target(target, str(folder / file)) is None
            }

    def fetch(self, kind: Kind, name: str, folder: Path) -> None:
        """The missing files of a bundle into `folder`, and delete what does not belong to it."""
        files = self._files(kind, name)
        for path in folder.rglob("*"):
            if not path.is_dir() and str(path.relative_to(folder)) not in files:
                path.unlink()
        missing = self.missing(kind, name, folder)
        self._check_space(sum(target.length for target in missing.values()))
        with self._in_words():
            for file, target in missing.items():
                self._fetch(target, folder / file)

    def _files(self, kind: Kind, name: str) -> dict[str, TargetFile]:
        with self._in_words():
            manifest = self._target(f"bundles/{name}/{MANIFESTS[kind]}")
            return {MANIFESTS[kind]: manifest} | {
                file: self._target(f"bundles/{name}/{file}") for file in _other_files(manifest)
            }

    def _target(self, path: str) -> TargetFile:
        target = self._updater.get_targetinfo(path)
        if target is None:
            raise RepositoryError(f"{self._config.url}: has no {path}, although it is assigned or listed")
        return target

    def _fetch(self, target: TargetFile, path: Path) -> None:
        with suppress(FileNotFoundError):
            path.unlink()
        self._updater.download_target(target, str(path))

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self._config.state).free
        if free < size + _SPARE_BYTES:
            raise ConfigError(
                f"{self._config.state}: {free / 1e6:.0f} MB are free; {size / 1e6:.0f} MB are to be fetched, and "
                f"{_SPARE_BYTES / 1e6:.0f} MB must stay free for the line"
            )

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        url = self._config.url
        try:
            yield
        except ExpiredMetadataError as error:
            raise RepositoryError(
                f"{url}: has expired: {error}. Nobody has renewed it, or an old copy of it is shown. Run `inspectd repository "
                "renew` where its keys are. If it is not expired there, check the clock of this computer"
            ) from error
        except (LengthOrHashMismatchError, DownloadLengthMismatchError) as error:
            raise RepositoryError(f"{url}: a file is not as it was signed: {error}") from error
        except TufError as error:
            raise RepositoryError(f"{url}: is not signed as it must be, or older than it was: {error}") from error
        except DownloadError as error:
            raise NotReachableError(f"{url}: {error.__cause__ or error}") from error


def _other_files(manifest: TargetFile) -> list[str]:
    """Paths inside the bundle. Raises RepositoryError."""
    try:
        files = list(manifest.custom["files"])
        for file in files:
            refuse_odd(file)
            path = PurePosixPath(file)
            if path.is_absolute() or not path.parts or ".." in path.parts or str(path) != file:
                raise ValueError(f"{file!r} is not a path inside the bundle")
        if len(files) > _MOST_FILES:
            raise ValueError(f"more than {_MOST_FILES} files")
    except (TypeError, LookupError, ValueError) as error:
        raise RepositoryError(f"{manifest.path}: its list of files can't be used: {error}") from error
    return files


def within(minutes: float, work: Callable[[], T]) -> T:
    """The result of `work`. Raises NotReachableError after so many minutes: then the work goes on until the process ends."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="download", daemon=True)
    thread.start()
    thread.join(minutes * 60)
    if thread.is_alive():
        raise NotReachableError(f"the download has not ended within {minutes:g} min (within_minutes)")
    if errors:
        raise errors[0]
    return results[0]
