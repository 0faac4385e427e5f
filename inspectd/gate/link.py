"""The line's end of the gate: starts it, talks to it, notices its death."""

import select
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

import structlog

from inspectd.errors import LineFault, OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.messages import SIZE, Kind, Message
from inspectd.gate.outcome import Alive, Done, GateState, Outcome, Stop
from inspectd.gate.outputs.base import SAFE_WITHIN_S, make_safe
from inspectd.gate.thread import GateThread
from inspectd.ownership import Claim

log = structlog.get_logger()

_START_TIMEOUT_S = 10.0
_SEND_WITHIN_S = 0.05
"""Many lost frames at once may fill the channel for some ms. A gate that reads nothing for this long does not listen."""
BEAT_S = 0.02
"""How often the line sends a permit message."""
_UNANSWERED = 3
"""More permit messages than this must be unanswered before a gate counts as hung. When the whole machine stood still, one
is unanswered."""


class _Gone(LineFault):
    """The gate's end of the channel is closed."""


class GateLink:
    """Any thread may send; it takes 50 ms at most. LineFault is raised if the gate is gone, hangs or does not listen."""

    def __init__(
        self, config: GateConfig, channel: socket.socket, gate: "subprocess.Popen[bytes] | GateThread | None"
    ) -> None:
        self._config = config
        self._channel = channel
        self._process = gate if isinstance(gate, subprocess.Popen) else None
        self._thread = gate if isinstance(gate, GateThread) else None
        self.pid = self._process.pid if self._process is not None else None
        self._has_stopped = False
        self._devices = config.output.devices
        """Read while the network works: a name may have to be looked up."""
        self._unanswered = 0
        self._asked_ns = 0
        self._reset_ns = 0
        channel.setblocking(False)

    @classmethod
    def start(cls, config: GateConfig, camera: object = None) -> "GateLink":
        """Start the gate and wait until it has opened its output.

        The gate is a process; if the output is on the line's camera, it is a thread of this process.
        Raises OutputError if the output can't be opened (the gate has logged why).
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if config.output.kind == "camera":
            return cls(config, ours, GateThread(config, camera, theirs))
        process = subprocess.Popen(
            [sys.executable, "-m", "inspectd.gate", str(theirs.fileno()), config.model_dump_json()],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        link = cls(config, ours, process)
        try:
            link._wait_for_life(_START_TIMEOUT_S + config.ends_within_s)
        except LineFault as error:
            link._channel.close()  # nothing was driven, so nothing is made safe: another line may own the output
            process.kill()
            process.wait()
            raise OutputError(
                "the gate could not start: its output can't be opened (its last log line says why)"
            ) from error
        return link

    def expect(self, part: int, due_ns: int) -> None:
        """A part exists: reject it at `due_ns` unless `clear` comes before. Raises LineFault."""
        self._send(Message(Kind.EXPECT, part=part, t_ns=due_ns))

    def clear(self, part: int) -> None:
        """The part has passed and its record is committed. Raises LineFault."""
        self._send(Message(Kind.CLEAR, part=part))

    def permit(self, ok: bool) -> None:
        """The line is alive. `ok`: it sees every trigger, so the belt may run.

        Raises LineFault. A gate that has not answered for `hung_after_ms` is killed.
        """
        now_ns = time.monotonic_ns()
        self._send(Message(Kind.PERMIT, int(ok), t_ns=now_ns))
        if self._unanswered == 0:
            self._asked_ns = now_ns
        self._unanswered += 1
        if self._unanswered > _UNANSWERED:
            self._kill_if_hung(now_ns)

    def latch(self, stops: Stop) -> None:
        """The session before has ended with these stops, and nobody has acknowledged them. Raises LineFault."""
        self._send(Message(Kind.LATCH, stops=stops))

    def reset(self, stops: Stop) -> None:
        """An operator has acknowledged these latched stops: the gate forgets them. Raises LineFault.

        Answers of the gate to what it was asked before that are not received: they may still name these stops.
        """
        self._send(Message(Kind.RESET, stops=stops))
        self._reset_ns = time.monotonic_ns()

    def wait(self, timeout_s: float) -> None:
        """Return as soon as there is something to receive, or the gate is dead."""
        select.select([self._channel], [], [], timeout_s)

    def receive(self) -> list[Done | Alive]:
        """What the gate has said since the last call: what became of labels, and its answers.

        Raises LineFault if the gate is gone.
        """
        messages, has_ended = self._read()
        if has_ended and not messages:
            raise LineFault(f"the gate is gone{self._exit_code()}")
        return [_news(message) for message in messages]

    def stop(self) -> list[Done | Alive]:
        """Let the gate finish what is in flight, and wait for that. Returns the last it says.

        Raises LineFault if that takes longer than it can, or if the gate hangs meanwhile.
        """
        self._send(Message(Kind.STOP))
        messages: list[Message] = []
        end_s = time.monotonic() + self._config.ends_within_s + self._config.stall_ms / 1000
        while time.monotonic() < end_s:
            self.wait(BEAT_S)
            received, has_ended = self._read()
            messages += received
            if has_ended:
                self._has_stopped = True
                return [_news(message) for message in messages]
            with suppress(_Gone):  # it has just finished
                self.permit(False)
        raise LineFault("the gate has not finished what was in flight in time")

    def close(self) -> None:
        """Close the channel and make sure that the output is safe. May be called twice.

        For a gate that still runs, this means that the line is dead: run permit drops and everything in flight is rejected.
        A gate that hangs is killed. If the gate was killed or failed, it may have left its output as it was; then the safe
        state is written from here. Raises OutputError if that fails too, and LineFault if the gate did not finish what
        `stop` asked for.
        """
        process, self._process = self._process, None
        thread, self._thread = self._thread, None
        timeout_s = self._config.ends_within_s + self._config.stall_ms / 1000
        if process is not None and not self._has_stopped and not self._answers():
            process.kill()
        self._channel.close()
        if thread is not None:
            thread.join(timeout_s)
        if process is None:
            return
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code != 0:
            self._make_safe(code)
        if self._has_stopped and code not in (0, OutputError.exit_code):
            raise LineFault(
                f"the gate ended (exit code {code}) before it had finished: labels in flight may have gone by"
            )

    def _make_safe(self, code: int) -> None:
        output = self._config.output.create(None)
        has_tried = code == OutputError.exit_code
        try:
            with ExitStack() as claims:
                for device in self._devices:
                    claims.enter_context(Claim(device, wait_s=1))
                make_safe(output, within_s=1 if has_tried else SAFE_WITHIN_S, is_open=False)
        finally:
            output.close()
        log.warning("the gate did not end in the safe state; the line has written it instead", exit_code=code)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _kill_if_hung(self, now_ns: int) -> None:
        silent_ms = (now_ns - self._asked_ns) / 1e6
        if silent_ms > self._config.hung_after_ms:
            if self._process is not None:
                self._process.kill()
            raise LineFault(f"the gate has not answered for {silent_ms:.0f} ms")

    def _answers(self) -> bool:
        """Whether the gate answers a permit message, or has ended. Its other messages are lost."""
        asked_ns = time.monotonic_ns()
        end_s = time.monotonic() + self._config.hung_after_ms / 1000
        try:
            self._send(Message(Kind.PERMIT, int(False), t_ns=asked_ns))
        except _Gone:
            return True
        except LineFault:
            return False
        while time.monotonic() < end_s:
            self.wait(BEAT_S)
            messages, has_ended = self._read()
            if has_ended or any(each.kind is Kind.ALIVE and each.t_ns >= asked_ns for each in messages):
                return True
        return False

    def _read(self) -> tuple[list[Message], bool]:
        """The messages that have come, and whether the gate's end is closed."""
        messages: list[Message] = []
        while True:
            try:
                data = self._channel.recv(SIZE)
            except BlockingIOError:
                return messages, False
            except ConnectionResetError:
                continue  # it ended without reading all that was sent to it; what it said before that comes next
            except OSError:
                data = b""
            if not data:
                return messages, True
            message = Message.unpack(data)
            if message.kind is Kind.ALIVE:
                self._unanswered = 0
                if message.t_ns < self._reset_ns:
                    continue
            messages.append(message)

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
                raise _Gone(f"the gate is gone{self._exit_code()}") from error
            select.select([], [self._channel], [], _SEND_WITHIN_S)

    def _wait_for_life(self, timeout_s: float) -> None:
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            self.wait(0.1)
            if any(isinstance(news, Alive) for news in self.receive()):
                return
        raise LineFault(f"the gate did not answer within {timeout_s:g} s")

    def _exit_code(self) -> str:
        code = self._process.poll() if self._process is not None else None
        return "" if code is None else f" (exit code {code})"


def _news(message: Message) -> Done | Alive:
    if message.kind is Kind.ALIVE:
        return Alive(GateState(message.code), Stop(message.stops))
    return Done(message.part, Outcome(message.code), message.t_ns, message.lateness_ns)
