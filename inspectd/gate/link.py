"""The line's end of the gate: starts it, talks to it, notices its death."""

import select
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Self

import structlog

from inspectd.errors import LineFault, OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.loop import GateLoop
from inspectd.gate.messages import SIZE, Kind, Message

log = structlog.get_logger()

_START_TIMEOUT_S = 10.0


class GateLink:
    """Its sends never block and may come from any thread. A gate that is gone or does not listen is a LineFault."""

    def __init__(self, config: GateConfig, channel: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        self._config = config
        self._channel = channel
        self._process = process
        self.pid = process.pid if process is not None else None
        channel.setblocking(False)

    @classmethod
    def start(cls, config: GateConfig, camera: object = None) -> "GateLink":
        """Start the gate and wait until it has opened its output.

        In a process of its own; in a thread where the output hangs on the line's own camera.
        Raises OutputError if the output can't be opened (the gate has logged why).
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if config.output.kind == "camera":
            _start_thread(config, camera, theirs)
            return cls(config, ours, None)
        process = subprocess.Popen(
            [sys.executable, "-m", "inspectd.gate", str(theirs.fileno()), config.model_dump_json()],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        link = cls(config, ours, process)
        try:
            link._wait_for(Kind.ALIVE, _START_TIMEOUT_S)
        except LineFault as error:
            link.close()
            raise OutputError("the gate could not start: its output can't be opened (its log line says why)") from error
        return link

    def expect(self, part: int, due_ns: int) -> None:
        """A part exists: it is rejected at `due_ns` unless `clear` comes before. Raises LineFault."""
        self._send(Message(Kind.EXPECT, part=part, t_ns=due_ns))

    def clear(self, part: int) -> None:
        """The part has passed and its record is committed. Raises LineFault."""
        self._send(Message(Kind.CLEAR, part=part))

    def heartbeat(self, ok: bool) -> None:
        """The line is alive; `ok`: it sees every trigger, so the belt may run. Raises LineFault."""
        self._send(Message(Kind.HEARTBEAT, int(ok), t_ns=time.monotonic_ns()))

    def reset(self) -> None:
        """An operator has looked: latched stops are forgotten. Raises LineFault."""
        self._send(Message(Kind.RESET))

    def wait(self, timeout_s: float) -> None:
        """Return as soon as there is something to receive, which the gate's death is too."""
        select.select([self._channel], [], [], timeout_s)

    def receive(self) -> list[Message]:
        """All OUTCOME and ALIVE messages that have come. Raises LineFault if the gate is gone."""
        messages: list[Message] = []
        while True:
            try:
                data = self._channel.recv(SIZE)
            except BlockingIOError:
                return messages
            except OSError as error:
                raise LineFault(f"the gate is gone: {error}") from error
            if not data:
                raise LineFault(f"the gate is gone{self._exit_code()}")
            messages.append(Message.unpack(data))

    def stop(self, timeout_s: float) -> list[Message]:
        """Let the gate finish what is in flight, leave the output safe and end. Returns its last messages.

        Raises LineFault if it takes longer.
        """
        self._send(Message(Kind.STOP))
        messages: list[Message] = []
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            self.wait(0.05)
            try:
                data = self._channel.recv(SIZE)
            except BlockingIOError:
                continue
            except OSError:
                return messages
            if not data:
                return messages
            messages.append(Message.unpack(data))
        raise LineFault(f"the gate has not finished within {timeout_s:g} s")

    def close(self) -> None:
        """Hang up. A gate that still runs takes it for the line's death: run permit off, everything in flight rejected.
        One that has died has left its output as it was; then the safe state is written from here."""
        self._channel.close()
        if self._process is None:
            return
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            log.error("the gate still has parts in flight; it ends on its own", pid=self._process.pid)
            return
        if code < 0:
            self._make_safe()

    def _make_safe(self) -> None:
        output = self._config.output.create(None)
        try:
            output.open()
            log.warning("the gate was killed; run permit dropped and the output made safe in its place")
        except OutputError as error:
            log.critical("the gate was killed and the output can't be made safe", error=str(error))
        finally:
            output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message.pack())
        except BlockingIOError as error:
            raise LineFault("the gate does not listen any more") from error
        except OSError as error:
            raise LineFault(f"the gate is gone{self._exit_code()}") from error

    def _wait_for(self, kind: Kind, timeout_s: float) -> None:
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            self.wait(0.1)
            if any(message.kind is kind for message in self.receive()):
                return
        raise LineFault(f"the gate did not answer within {timeout_s:g} s")

    def _exit_code(self) -> str:
        code = self._process.poll() if self._process is not None else None
        return "" if code is None else f" (exit code {code})"


def _start_thread(config: GateConfig, camera: object, channel: socket.socket) -> None:
    output = config.output.create(camera)

    def run() -> None:
        try:
            GateLoop(config, output, channel).run()
        finally:
            output.close()
            channel.close()

    threading.Thread(target=run, name="gate", daemon=True).start()
