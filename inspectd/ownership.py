"""One owner per device: a journal, an output and a camera belong to one process of this machine at a time.

A claim is a socket bound to a name in Linux's abstract namespace (unix(7)). The kernel frees it when the process dies, in
whatever way, so a stale lock is never left, and no folder needs special rights. Two containers with separate network
namespaces do not see each other's claims.
"""

import hashlib
import socket
import struct
import time
from types import TracebackType
from typing import Self

from inspectd.errors import InUseError

_RETRY_S = 0.05
_LONGEST_NAME = 90
"""An abstract name has at most 107 bytes."""


class Claim:
    """Held until `release`, the end of the `with` block, or the end of the process."""

    def __init__(self, device: str, *, wait_s: float = 0) -> None:
        """`device` names what is owned, with the same text in every process: "output modbus 10.0.0.7:502 unit 1 coil 0".

        Tries for `wait_s` seconds. Raises InUseError, naming the process that owns the device.
        """
        end_s = time.monotonic() + wait_s
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.bind(_address(device))
                self._socket.listen()
                return
            except OSError as error:
                self._socket.close()
                if time.monotonic() >= end_s:
                    raise InUseError(f"{device}: in use by {_owner(device)}") from error
            time.sleep(_RETRY_S)

    def release(self) -> None:
        """Safe to call twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _address(device: str) -> bytes:
    name = device.encode()
    if len(name) > _LONGEST_NAME:
        name = hashlib.sha256(name).hexdigest().encode()
    return b"\0inspectd/" + name


def _owner(device: str) -> str:
    """The process that holds the claim: SO_PEERCRED of unix(7) says who listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(0.2)
        try:
            asking.connect(_address(device))
            credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return "another process"
    pid, _, _ = struct.unpack("3i", credentials)
    return f"the running line (process {pid})" if pid else "another process"
