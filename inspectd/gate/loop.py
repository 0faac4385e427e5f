"""The gate's event loop: one socket, one output, one schedule."""

import select
import socket
import time

import structlog

from inspectd.gate.config import GateConfig
from inspectd.gate.drive import Drive
from inspectd.gate.messages import SIZE, Kind, Message
from inspectd.gate.outcome import Outcome, Stop
from inspectd.gate.outputs.base import Output
from inspectd.gate.schedule import Schedule

log = structlog.get_logger()

_MESSAGES_A_TURN = 64
"""At most so many messages per turn: a line that sends without a pause must not keep the gate from its output."""


class GateLoop:
    """Runs until the line says STOP or closes its end of the socket, and nothing is in flight any more."""

    def __init__(self, config: GateConfig, output: Output, channel: socket.socket) -> None:
        """`channel`: the gate's end of a SOCK_SEQPACKET pair. `output` is open, so the safe state is written."""
        self._channel = channel
        self._schedule = Schedule(config, time.monotonic_ns())
        self._drive = Drive(self._schedule, output, config.refresh_ms)
        self._stopping = False
        self._line_gone = False
        self._has_worked = False
        """The line has announced a label, or let the belt run."""

    def run(self) -> None:
        """Leaves the output as it is: the caller makes it safe."""
        self._channel.setblocking(False)
        self._answer(0)
        while True:
            self._receive()
            self._drive.turn()
            self._tell()
            if (self._stopping or self._line_gone) and self._schedule.is_idle(time.monotonic_ns()):
                return
            self._wait()

    def _wait(self) -> None:
        timeout_s = self._drive.wait_ns() / 1e9
        if self._line_gone:
            time.sleep(timeout_s)
        else:
            # select, not epoll: its timeout is in us, not rounded up to ms
            select.select([self._channel], [], [], timeout_s)

    def _receive(self) -> None:
        for _ in range(_MESSAGES_A_TURN):
            if self._line_gone:
                return
            try:
                data = self._channel.recv(SIZE)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # the line ended without reading all that was sent to it; what it said before that comes next
            except ConnectionError:
                data = b""
            if data:
                self._obey(Message.unpack(data))
            else:
                self._line_gone = True
                self._schedule.line_gone()
                if self._has_worked and not self._stopping:
                    log.error("the line is gone: run permit off, everything in flight is rejected")

    def _obey(self, message: Message) -> None:
        match message.kind:
            case Kind.EXPECT:
                self._has_worked = True
                self._schedule.expect(message.part, message.t_ns)
            case Kind.CLEAR:
                self._schedule.clear(message.part)
            case Kind.PERMIT:
                self._has_worked |= bool(message.code)
                self._schedule.permit(bool(message.code), time.monotonic_ns())
                self._answer(message.t_ns)
            case Kind.LATCH:
                self._schedule.stops |= Stop(message.stops)
            case Kind.RESET:
                self._schedule.reset(Stop(message.stops))
            case Kind.STOP:
                self._stopping = True
                self._schedule.line_stops()
            case _:
                log.error("the line sent a message that only the gate may send", kind=message.kind.name)

    def _tell(self) -> None:
        outcomes = self._schedule.take_outcomes()
        for done in outcomes:
            self._send(Message(Kind.OUTCOME, done.outcome, done.part, done.began_ns, done.lateness_ns))
        for done in outcomes:
            if done.outcome is Outcome.NOT_DRIVEN:
                late_ms = round(done.lateness_ns / 1e6, 1)
                log.error("reject not driven: look for this label; run permit off", part=done.part, late_ms=late_ms)

    def _answer(self, asked_ns: int) -> None:
        state = self._schedule.state(time.monotonic_ns())
        self._send(Message(Kind.ALIVE, state, t_ns=asked_ns, stops=self._schedule.stops))

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message.pack())
        except (BlockingIOError, ConnectionError):
            # A line that does not read will stall or end; the gate must not wait for it.
            return
