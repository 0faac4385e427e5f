"""What the service tells systemd: the sd_notify(3) protocol, datagrams of `NAME=value` lines.

Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import os
import socket
import time

import structlog

log = structlog.get_logger()


def watchdog_interval_s() -> float | None:
    """How long systemd waits for `WATCHDOG=1` before it kills this process; None: it does not wait.

    A child process inherits the variables, so `WATCHDOG_PID` says which process is meant (sd_watchdog_enabled(3)).
    """
    try:
        interval_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        pid = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return interval_us / 1e6 if interval_us > 0 and pid == os.getpid() else None


class Notifier:
    """Does nothing if systemd did not start this process. Never blocks: the line does not wait for those who watch it."""

    def __init__(self) -> None:
        self._address = _address(os.environ.get("NOTIFY_SOCKET", ""))
        self._feeds_watchdog = watchdog_interval_s() is not None
        self._has_failed = False

    def ready(self) -> None:
        """The start, or a reload, is done."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins. `ready` must follow, also if the reload fails."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.splitlines())}")

    def watchdog(self) -> None:
        """Every stage has made progress."""
        if self._feeds_watchdog:
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto(state.encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                log.warning("systemd does not listen", message=state, error=str(error))
            self._has_failed = True
        else:
            self._has_failed = False


def _address(name: str) -> str | None:
    """A path, or a name in the abstract namespace: systemd writes '@' for its zero byte."""
    if name.startswith("@"):
        return "\0" + name[1:]
    if name and not name.startswith("/"):
        log.warning("NOTIFY_SOCKET is not a Unix socket: nothing is reported to systemd", name=name)
        return None
    return name or None
