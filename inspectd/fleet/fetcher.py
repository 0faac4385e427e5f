"""How files of a repository come over the network: no redirect, no compression, no proxy, and no wait without an end."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

_SILENT_S = 20
"""A server that sends nothing for so long is too slow."""
_PIECE = 1 << 18


class Fetcher(FetcherInterface):
    """Of files below one address. What it yields is not checked: tuf checks length, hash and signature."""

    def __init__(self, url: str, ca: Path | None) -> None:
        """`url`: as in the config, with a slash at the end. `ca`: certificates in PEM form; None: those of the system."""
        self._url = url
        retries = urllib3.Retry(connect=2, read=0, redirect=0, status=0, other=0, backoff_factor=0.5)
        self._pool = urllib3.PoolManager(
            retries=retries, timeout=urllib3.Timeout(_SILENT_S), ca_certs=None if ca is None else str(ca)
        )

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(self._url)
        if self._url.startswith("file://"):
            return _from_file(Path(self._url.removeprefix("file://")) / name)
        try:
            response = self._pool.request(
                "GET",
                self._url + quote(name),
                headers={"Accept-Encoding": "identity", "User-Agent": "inspectd"},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _as_download_error(error) from error
        if response.status != 200:
            response.close()
            raise DownloadHTTPError(f"{url}: the server answers with HTTP status {response.status}", response.status)
        return _pieces(response)


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read1(_PIECE):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise _as_download_error(error) from error
    finally:
        response.close()


def _as_download_error(error: Exception) -> DownloadError:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.TimeoutError):
        return SlowRetrievalError(f"the server has sent nothing for {_SILENT_S} s")
    return DownloadError(str(reason.args[0] if reason.args else reason))


def _from_file(path: Path) -> Iterator[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DownloadHTTPError(f"{path}: does not exist", 404) from error
    except OSError as error:
        raise DownloadError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DownloadError(f"{path}: is not a regular file")
    return _pieces_of_file(descriptor, path)


def _pieces_of_file(descriptor: int, path: Path) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        try:
            while piece := file.read(_PIECE):
                yield piece
        except OSError as error:
            raise DownloadError(f"{path}: {error.strerror}") from error
