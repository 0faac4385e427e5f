"""The line's end of the control socket: a thread that listens, reads requests, and sends the answers.

The line never waits for a client. The thread takes few clients, few bytes and little time, whatever the clients do, and it
touches nothing of the line: the main thread takes a request when it has time, and answers it. Only what labels must say may
change for each label, so the thread itself passes that on.
"""

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog

from inspectd.control.config import ControlConfig
from inspectd.control.listener import Listener
from inspectd.control.protocol import MAX_BYTES, ExpectRequest, Request, answered, parse, refused
from inspectd.control.requester import Requester, may_control, requester
from inspectd.logs import Throttle

log = structlog.get_logger()

CLIENTS = 8
"""More clients than this wait until another client has ended."""
SILENT_S = 2.0
"""A client that sends no whole request for this long is disconnected."""
NO_TEXT = "this line verifies no text: its config has no section 'text'"
"""Why a request about text is refused."""
_RESTS = 10
"""After each turn the thread rests this many times as long as the turn has kept a processor busy."""
_LOOK_S = 0.02
_IDLE_S = 0.2
_COMPLAIN_EVERY_S = 10.0


Expect = Callable[[ExpectRequest, Requester], dict[str, Any]]
"""Does what is asked for at once, and returns what the answer says. Raises ValueError if it refuses."""


@dataclass(slots=True)
class Pending:
    """A request that waits for its answer. The main thread calls `answer` or `refuse`, once."""

    request: Request
    by: Requester
    line: bytes | None = None
    """The answer, once it is known."""

    def answer(self, **values: Any) -> None:
        self.line = answered(**values)

    def refuse(self, error: str) -> None:
        self.line = refused(error)


@dataclass(slots=True)
class _Client:
    """One connection."""

    channel: socket.socket
    by: Requester
    since_s: float
    """When it connected, or got its last answer, in monotonic seconds."""
    received: bytes = b""
    pending: Pending | None = None


class _Ended(Exception):
    """The connection is over. The message, if there is one, is sent before it is closed."""


class ControlServer:
    """Listens from when it is made until the end of the `with` block."""

    def __init__(self, config: ControlConfig) -> None:
        """Raises ConfigError if there can be no socket at this path, InUseError if a process listens there."""
        self.expect: Expect | None = None
        """Set it if the line verifies text."""
        self._listener = Listener(config.socket)
        self._clients: list[_Client] = []
        self._requests = queue.SimpleQueue[Pending]()
        self._refusals = Throttle(_COMPLAIN_EVERY_S)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def take(self) -> Pending | None:
        """The oldest request that nobody has taken yet. Never waits."""
        with suppress(queue.Empty):
            return self._requests.get_nowait()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(1)  # a directory service that is asked for a name may hang
        self._listener.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                ready = self._wait()
                begin_s = time.thread_time()
                self._turn(ready)
                self._stopping.wait(_RESTS * (time.thread_time() - begin_s))
        except Exception as error:  # the line goes on without it
            log.error("the control socket is closed", error=f"{type(error).__name__}: {error}", exc_info=error)
        finally:
            for client in tuple(self._clients):
                self._end(client)
            self._listener.close()

    def _wait(self) -> list[socket.socket]:
        """The sockets that can be read, as soon as there is one."""
        watched = [client.channel for client in self._clients if client.pending is None]
        has_more = any(client.pending is None and b"\n" in client.received for client in self._clients)
        if len(self._clients) < CLIENTS:
            watched.append(self._listener.channel)
        ready, _, _ = select.select(watched, [], [], 0 if has_more else _LOOK_S if self._clients else _IDLE_S)
        return ready

    def _turn(self, ready: list[socket.socket]) -> None:
        """At most one step for each client, and one new client."""
        for client in tuple(self._clients):
            try:
                self._step(client, client.channel in ready)
            except _Ended as end:
                self._end(client, *end.args)
            except OSError:
                self._end(client)
        if self._listener.channel in ready:
            self._admit()

    def _step(self, client: _Client, is_ready: bool) -> None:
        """Raises _Ended, OSError."""
        if client.pending is not None:
            if client.pending.line is None:
                return
            _send(client.channel, client.pending.line)
            client.pending, client.since_s = None, time.monotonic()
        elif is_ready:
            data = client.channel.recv(MAX_BYTES)
            if not data:
                raise _Ended
            client.received += data
        line, end, rest = client.received.partition(b"\n")
        if len(line) >= MAX_BYTES:
            raise _Ended(f"the request is longer than {MAX_BYTES} bytes")
        if end:
            client.received = rest
            self._ask(client, line)
        elif time.monotonic() - client.since_s > SILENT_S:
            raise _Ended(f"no whole request came within {SILENT_S:g} s")

    def _ask(self, client: _Client, line: bytes) -> None:
        try:
            request = parse(line)
            if isinstance(request, Request):
                client.pending = Pending(request, client.by)
                self._requests.put(client.pending)
                return
            if (expect := self.expect) is None:
                raise ValueError(NO_TEXT)
            said = answered(**expect(request, client.by))
        except ValueError as error:
            said = refused(str(error))
        _send(client.channel, said)
        client.since_s = time.monotonic()

    def _admit(self) -> None:
        try:
            channel, _ = self._listener.channel.accept()
        except OSError:  # the client has gone again, or this process has too many open files
            return
        channel.setblocking(False)
        try:
            by = requester(channel)
            if may_control(channel, self._listener.group):
                self._clients.append(_Client(channel, by, time.monotonic()))
                return
            if self._refusals.is_open(time.monotonic()):
                log.warning("a user may not use the control socket", **by.words())
            _send(channel, refused(f"user {by.user} may not control this line: it is not in the group of the socket"))
        except OSError:
            pass
        channel.close()

    def _end(self, client: _Client, error: str = "") -> None:
        self._clients.remove(client)
        if error:
            with suppress(OSError):
                _send(client.channel, refused(error))
        client.channel.close()


def _send(channel: socket.socket, line: bytes) -> None:
    """Raises OSError if the client does not read: an answer always fits into the buffer of a client that does."""
    if channel.send(line) < len(line):
        raise OSError("the client does not read")
