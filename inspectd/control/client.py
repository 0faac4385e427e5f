"""Ask a running line for something, over its control socket."""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from inspectd.control.protocol import VERSION, Verb
from inspectd.errors import ControlError, NoLineError, RefusedError

_LONGEST_ANSWER = 1 << 20
_WITHIN_S: dict[Verb, float] = {"status": 10, "acknowledge": 10, "reload": 300, "expect": 10, "confirm_clock": 10}
"""How long a line may take for its answer. A reload loads an engine."""
_AGAIN_S = 0.02


def ask(path: Path, verb: Verb, **more: Any) -> dict[str, Any]:
    """The line's answer. `more`: what the request says beside its verb.

    Raises ControlError if no line answers (NoLineError if none listens), RefusedError if the line refuses.
    """
    request = json.dumps({"version": VERSION, "verb": verb, **more}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(_WITHIN_S[verb])
        try:
            _connect(channel, path, time.monotonic() + _WITHIN_S[verb])
            line = _answer(channel, request)
        except TimeoutError as error:
            raise ControlError(f"{path}: the line has not answered within {_WITHIN_S[verb]:g} s") from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoLineError(
                f"{path}: no line listens there; start the line, or name the socket of another"
            ) from error
        except PermissionError as error:
            raise ControlError(f"{path}: this user may not use it; root and members of its group may") from error
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}") from error
    try:
        answer = json.loads(line)
        if answer["ok"]:
            return dict(answer)
        refusal = str(answer["error"])
    except (ValueError, LookupError, TypeError) as error:
        raise ControlError(f"{path}: what listens there does not answer like a line") from error
    raise RefusedError(refusal)


def _connect(channel: socket.socket, path: Path, end_s: float) -> None:
    """Try again while the line has more clients than it takes at once. Raises OSError."""
    while True:
        try:
            channel.connect(os.fspath(path))
            return
        except BlockingIOError as error:
            if time.monotonic() > end_s:
                raise TimeoutError from error
            time.sleep(_AGAIN_S)


def _answer(channel: socket.socket, request: bytes) -> bytes:
    """The first line that comes back. Raises OSError."""
    received = b""
    with suppress(BrokenPipeError, ConnectionResetError):  # the line may have said why before it closed the connection
        channel.sendall(request)
    while b"\n" not in received and len(received) < _LONGEST_ANSWER:
        data = channel.recv(65_536)
        if not data:
            raise OSError("the line has closed the connection without an answer")
        received += data
    return received.partition(b"\n")[0]
