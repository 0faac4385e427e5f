"""The line's end of the gate: starts it, talks to it, notices its death."""

import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import structlog

from inspectd.errors import LineFault, OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.loop import GateLoop
from inspectd.gate.messages import SIZE, Kind, Message
from inspectd.gate.output import SAFE_WITHIN_S, Output, make_safe
from inspectd.ownership import Claim

log = structlog.get_logger()

_START_TIMEOUT_S = 10.0
_SEND_WITHIN_S = 0.05
"""A burst of lost frames may fill the channel for some ms; a gate that takes nothing for this long does not listen."""
_UNANSWERED = 3
"""Heartbeats without an answer before a gate counts as hung; a machine that stood still as a whole misses one."""


class GateLink:
    """Its sends may come from any thread and take 50 ms at most. A gate that is gone, hangs or does not listen is a
    LineFault."""

    def __init__(self, config: GateConfig, channel: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        self._config = config
        self._channel = channel
        self._process = process
        self.pid = process.pid if process is not None else None
        self._unanswered = 0
        self._asked_ns = 0
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
            link._wait_for(Kind.ALIVE, _START_TIMEOUT_S + config.ends_within_s)
        except LineFault as error:
            link._channel.close()  # nothing was driven, so nothing is made safe: the output may be another line's
            process.kill()
            process.wait()
            raise OutputError("the gate could not start: its output can't be opened (its log line says why)") from error
        return link

    def expect(self, part: int, due_ns: int) -> None:
        """A part exists: it is rejected at `due_ns` unless `clear` comes before. Raises LineFault."""
        self._send(Message(Kind.EXPECT, part=part, t_ns=due_ns))

    def clear(self, part: int) -> None:
        """The part has passed and its record is committed. Raises LineFault."""
        self._send(Message(Kind.CLEAR, part=part))

    def heartbeat(self, ok: bool) -> None:
        """The line is alive; `ok`: it sees every trigger, so the belt may run.

        Raises LineFault; a gate that hangs (`hung_after_ms`) is killed.
        """
        now_ns = time.monotonic_ns()
        self._send(Message(Kind.HEARTBEAT, int(ok), t_ns=now_ns))
        if self._unanswered == 0:
            self._asked_ns = now_ns
        self._unanswered += 1
        silent_ms = (now_ns - self._asked_ns) / 1e6
        if self._unanswered > _UNANSWERED and silent_ms > self._config.hung_after_ms:
            if self._process is not None:
                self._process.kill()
            raise LineFault(f"the gate has not answered for {silent_ms:.0f} ms")

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
            message = Message.unpack(data)
            if message.kind is Kind.ALIVE:
                self._unanswered = 0
            messages.append(message)

    def stop(self) -> list[Message]:
        """Let the gate finish what is in flight, leave the output safe and end. Returns its last messages.

        Raises LineFault if it takes longer than that can take.
        """
        self._send(Message(Kind.STOP))
        messages: list[Message] = []
        end_s = time.monotonic() + self._config.ends_within_s + self._config.stall_ms / 1000
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
        raise LineFault("the gate has not finished what was in flight in time")

    def close(self) -> None:
        """Hang up and see to it that the output is safe. Safe to call twice.

        A gate that still runs takes it for the line's death: run permit off, everything in flight rejected. One that did
        not end by itself with the safe state acknowledged (killed, hung, failed) has left its output as it was; then the
        safe state is written from here. Raises OutputError if that fails, too.
        """
        self._channel.close()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            code = process.wait(timeout=self._config.ends_within_s + self._config.stall_ms / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code != 0:
            self._make_safe(code)

    def _make_safe(self, code: int) -> None:
        output = self._config.output.create(None)
        has_tried = code == OutputError.exit_code
        try:
            with ExitStack() as claims:
                for device in self._config.output.devices:
                    claims.enter_context(Claim(device, wait_s=1))
                make_safe(output, within_s=1 if has_tried else SAFE_WITHIN_S)
        finally:
            output.close()
        log.warning("the gate did not end in the safe state; the line has written it in its place", exit_code=code)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Message) -> None:
        data, end_s = message.pack(), time.monotonic() + _SEND_WITHIN_S
        while True:
            try:
                self._channel.send(data)
                return
            except BlockingIOError as error:
                if time.monotonic() >= end_s:
                    raise LineFault("the gate does not listen any more") from error
            except OSError as error:
                raise LineFault(f"the gate is gone{self._exit_code()}") from error
            select.select([], [self._channel], [], _SEND_WITHIN_S)

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
    threading.Thread(target=_run_here, args=(config, output, channel), name="gate", daemon=True).start()


def _run_here(config: GateConfig, output: Output, channel: socket.socket) -> None:
    try:
        GateLoop(config, output, channel).run()
    except Exception as error:
        log.critical("gate ends", error=f"{type(error).__name__}: {error}", exc_info=error)
    finally:
        _make_safe_here(output)
        channel.close()


def _make_safe_here(output: Output) -> None:
    try:
        make_safe(output, SAFE_WITHIN_S)
    except OutputError as error:
        log.critical("output is not safe", error=str(error))
