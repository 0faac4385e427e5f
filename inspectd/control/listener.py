"""The socket's place in the file system: made for one line, taken over from a line that died, removed at the end."""

import errno
import os
import socket
import stat
from pathlib import Path

from inspectd.errors import ConfigError, InUseError
from inspectd.ownership import Claim

_MODE = 0o660
_WAITING = 8
"""So many clients wait to be accepted; the kernel refuses further ones, or lets them wait."""


class Listener:
    """A listening Unix socket."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError if there can be no socket at `path`, InUseError if a process listens there."""
        self._path = path.absolute()
        self._claim = Claim(f"control socket {self._path.parent.resolve() / self._path.name}")
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._identity: tuple[int, int] | None = None
        try:
            _remove_dead(self._path)
            self.channel.bind(os.fspath(self._path))
            # nobody can connect before `listen`, so nobody meets the mode before this one
            self._path.chmod(_MODE)
            status = self._path.stat()
            self._identity = status.st_dev, status.st_ino
            self.channel.listen(_WAITING)
        except OSError as error:
            self.close()
            raise ConfigError(f"{path}: control.socket can't be made there: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    @property
    def group(self) -> int:
        """The group whose members may connect. Raises OSError."""
        return self._path.stat().st_gid

    def close(self) -> None:
        """Remove the socket, unless another one has its place. Safe to call twice."""
        self.channel.close()
        try:
            status = self._path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self._path.unlink()
        except OSError:
            pass  # somebody has removed it, or its folder
        self._identity = None
        self._claim.release()


def _remove_dead(path: Path) -> None:
    """Remove the socket of a process that has ended. Raises ConfigError, InUseError, OSError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigError(f"{path}: is not a socket; move it away, or set control.socket to another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
        code = asking.connect_ex(os.fspath(path))
    if code in (0, errno.EAGAIN):
        raise InUseError(f"{path}: another process listens there; each line needs another control.socket")
    if code != errno.ECONNREFUSED:
        raise OSError(code, os.strerror(code))
    path.unlink()
