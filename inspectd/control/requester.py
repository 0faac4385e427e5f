"""Who asks the line for something, and whether this user may."""

import os
import pwd
import socket
import struct
from dataclasses import asdict, dataclass
from typing import Any

_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59
"""socket(7) of Linux 4.13; Python has no name for it."""
_LARGEST_OPTION = 1024
"""Python reads no more bytes. The kernel then refuses to list more than 256 groups."""


@dataclass(frozen=True, slots=True)
class Requester:
    """A user, and the process that spoke for this user."""

    user: str
    """The name; the number, if it has no name on this computer."""
    uid: int | None = None
    pid: int | None = None

    def words(self) -> dict[str, Any]:
        """For a log line."""
        return asdict(self)


SIGHUP = Requester("SIGHUP")
"""The sender of a signal is not known."""


def requester(channel: socket.socket) -> Requester:
    """Who has connected to a Unix socket, as the kernel saw it then (SO_PEERCRED of unix(7)).

    A directory service that does not answer may hold this up. Raises OSError.
    """
    pid, uid, _ = _credentials(channel)
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Requester(user, uid, pid)


def may_control(channel: socket.socket, group: int) -> bool:
    """Whether the client is root, this user, or in `group`. The file's mode says the same, but anybody who can change the mode
    or pass an open socket on could change that. Raises OSError."""
    _, uid, gid = _credentials(channel)
    return uid in (0, os.geteuid()) or group in (gid, *_groups(channel))


def _credentials(channel: socket.socket) -> tuple[int, int, int]:
    return _CREDENTIALS.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))


def _groups(channel: socket.socket) -> list[int]:
    groups = channel.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _LARGEST_OPTION)
    return [group for (group,) in struct.iter_unpack("I", groups)]
