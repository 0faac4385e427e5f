"""Clients of a control socket that tests use, well-behaved or not."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

STATUS = b'{"version": 1, "verb": "status"}\n'


def connected(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(10)
    channel.connect(os.fspath(path))
    return channel


def answer(channel: socket.socket) -> dict[str, Any] | None:
    """The next line; None if the connection is closed without one."""
    received = b""
    while not received.endswith(b"\n"):
        try:
            data = channel.recv(1)
        except ConnectionResetError:
            data = b""
        if not data:
            assert received == b"", "half an answer"
            return None
        received += data
    values: dict[str, Any] = json.loads(received)
    return values


def as_user(uid: int, groups: list[int], path: Path) -> str:
    """What a process of this user gets: the line's answer to a status request, or the error of connect."""
    script = (
        "import os, socket, sys\n"
        f"os.setgroups({groups}); os.setgid({uid}); os.setuid({uid})\n"
        "channel = socket.socket(socket.AF_UNIX)\n"
        "try: channel.connect(sys.argv[1])\n"
        "except OSError as error: print(type(error).__name__); sys.exit()\n"
        f"try: channel.sendall({STATUS!r})\n"
        "except BrokenPipeError: pass\n"
        "print(channel.recv(4096).decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-Ic", script, str(path)], capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout
