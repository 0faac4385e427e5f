"""The gate's event loop: one socket, one output, one schedule, microsecond timeouts."""

import select
import socket
import time

import structlog

from inspectd.errors import OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.messages import SIZE, Kind, Message, Outcome
from inspectd.gate.output import SAFE, Output, Signals
from inspectd.gate.schedule import Schedule

log = structlog.get_logger()

_CONFIRMATION_POLL_NS = 2_000_000


class GateLoop:
    """Runs until the line says STOP or its end of the socket closes, and everything in flight has been dealt with."""

    def __init__(self, config: GateConfig, output: Output, channel: socket.socket) -> None:
        """`channel`: the gate's end of a SOCK_SEQPACKET pair. `output` is open."""
        self._output = output
        self._channel = channel
        self._schedule = Schedule(config, time.monotonic_ns())
        self._refresh_ns = round(config.refresh_ms * 1e6)
        self._written = SAFE
        self._on_since_ns = 0
        self._next_write_ns = 0
        self._has_failed = False
        self._stopping = False
        self._line_gone = False

    def run(self) -> None:
        channel = self._channel
        channel.setblocking(False)
        self._send(Message(Kind.ALIVE, self._schedule.state(time.monotonic_ns())))
        while True:
            self._receive()
            now_ns = time.monotonic_ns()
            signals, outcomes = self._schedule.step(now_ns)
            for outcome in self._drive(signals, outcomes, now_ns):
                self._send(outcome)
            if (self._stopping or self._line_gone) and self._schedule.is_idle(time.monotonic_ns()):
                return
            self._wait()

    def _wait(self) -> None:
        if self._schedule.awaits_confirmation and self._output.confirmed():
            self._schedule.confirmed()
        now_ns = time.monotonic_ns()
        wake_ns = min(self._schedule.next_wake_ns(now_ns), self._next_write_ns)
        if self._schedule.awaits_confirmation:
            wake_ns = min(wake_ns, now_ns + _CONFIRMATION_POLL_NS)
        timeout_s = max(0, wake_ns - now_ns) / 1e9
        if self._line_gone:
            time.sleep(timeout_s)
        else:
            # select, not epoll: its timeout is in us, not rounded up to ms
            select.select([self._channel], [], [], timeout_s)

    def _receive(self) -> None:
        while not self._line_gone:
            try:
                data = self._channel.recv(SIZE)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if not data:
                self._line_gone = True
                self._schedule.line_gone()
                if not self._stopping:
                    log.error("the line is gone: run permit off, everything in flight is rejected")
                return
            self._obey(Message.unpack(data))

    def _obey(self, message: Message) -> None:
        match message.kind:
            case Kind.EXPECT:
                self._schedule.expect(message.part, message.t_ns)
            case Kind.CLEAR:
                for outcome in self._schedule.clear(message.part):
                    self._send(outcome)
            case Kind.HEARTBEAT:
                now_ns = time.monotonic_ns()
                self._schedule.heartbeat(bool(message.code), now_ns)
                self._send(Message(Kind.ALIVE, self._schedule.state(now_ns), t_ns=now_ns))
            case Kind.RESET:
                self._schedule.reset()
            case Kind.STOP:
                self._stopping = True
            case _:
                log.error("the line sent what only the gate sends", kind=message.kind.name)

    def _drive(self, signals: Signals, outcomes: list[Message], now_ns: int) -> list[Message]:
        """Write what has changed or is due for refresh; says what really became of the parts."""
        if self._has_failed and now_ns < self._next_write_ns:
            return [self._schedule.undriven(outcome) for outcome in outcomes]
        if signals == self._written and now_ns < self._next_write_ns:
            return [self._begun(outcome) for outcome in outcomes]
        try:
            self._output.write(signals)
        except OutputError as error:
            if not self._has_failed:
                log.error("output failed", error=str(error))
            self._has_failed = True
            self._schedule.output_failed(True)
            self._next_write_ns = time.monotonic_ns() + self._refresh_ns
            return [self._schedule.undriven(outcome) for outcome in outcomes]
        if self._has_failed:
            log.warning("output works again")
            self._has_failed = False
            self._schedule.output_failed(False)
        done_ns = time.monotonic_ns()
        if signals.actuator and not self._written.actuator:
            self._on_since_ns = done_ns
        self._written, self._next_write_ns = signals, done_ns + self._refresh_ns
        return [self._begun(outcome) for outcome in outcomes]

    def _begun(self, outcome: Message) -> Message:
        begun = self._schedule.begun(outcome, self._on_since_ns)
        if begun.code == Outcome.NOT_DRIVEN:
            late_ms = round(begun.lateness_ns / 1e6, 1)
            log.error("reject came too late: look for this label; run permit off", part=begun.part, late_ms=late_ms)
            self._next_write_ns = 0
        return begun

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message.pack())
        except (BlockingIOError, ConnectionError):
            # A line that does not listen is a line that will stall or be gone; the gate must not wait for it.
            return
