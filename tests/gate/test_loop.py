"""The gate's event loop in this process: a real socket and clock, and an output that is a list of its commands."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from inspectd.gate.loop import GateLoop
from inspectd.gate.messages import SIZE, Kind, Message
from inspectd.gate.outcome import GateState, Outcome, Stop
from tests.gate.bench import MS, Device, gate_config


class Line:
    """The line's end of a running gate."""

    def __init__(self, loop: GateLoop, channel: socket.socket, device: Device) -> None:
        self.device = device
        self._channel = channel
        self._channel.settimeout(4)
        self._thread = threading.Thread(target=loop.run, daemon=True)
        self._thread.start()

    def say(self, kind: Kind, code: int = 0, part: int = 0, t_ns: int = 0, stops: int = 0) -> None:
        self._channel.send(Message(kind, code, part, t_ns, stops=stops).pack())

    def beat(self, ok: bool = True, t_ns: int = 0) -> Message:
        self.say(Kind.PERMIT, int(ok), t_ns=t_ns)
        return self.hear(Kind.ALIVE)

    def hear(self, kind: Kind) -> Message:
        """The next message, which is of this kind."""
        message = Message.unpack(self._channel.recv(SIZE))
        assert message.kind is kind, message
        return message

    def hang_up(self) -> None:
        self._channel.close()

    def ends(self, within_s: float = 3) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


@contextmanager
def running(**changes: object) -> Iterator[Line]:
    device = Device()
    device.clock_ns = time.monotonic_ns
    device.apply = lambda signals: (
        setattr(device, "signals", signals) or device.history.append((time.monotonic_ns(), signals))
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    config = gate_config(**{"stall_ms": 5000, "width_ms": 10, "max_lateness_ms": 5000, **changes})
    with ours, theirs:
        line = Line(GateLoop(config, device, theirs), ours, device)
        first = line.hear(Kind.ALIVE)
        assert (first.code, first.t_ns, first.stops) == (GateState.STARTING, 0, 0)
        yield line
        line.hang_up()
        assert line.ends()


def test_each_beat_is_answered_with_the_gates_state_and_the_time_of_the_beat():
    with running() as line:
        answer = line.beat(t_ns=4711)
        assert (answer.code, answer.t_ns) == (GateState.RUNNING, 4711)
        assert line.beat(ok=False).code == GateState.LINE_NOT_OK
        assert line.beat().code == GateState.RUNNING


def test_a_part_is_rejected_at_its_due_time_though_the_line_is_silent():
    with running() as line:
        line.beat()
        due_ns = time.monotonic_ns() + 100 * MS
        line.say(Kind.EXPECT, part=7, t_ns=due_ns)
        done = line.hear(Kind.OUTCOME)
        assert (done.code, done.part) == (Outcome.REJECTED, 7)
        assert due_ns <= done.t_ns == due_ns + done.lateness_ns
        assert time.monotonic_ns() < due_ns + 2000 * MS
        begins = [t_ns for t_ns, signals in line.device.history if signals.actuator]
        assert due_ns <= begins[0] <= done.t_ns


def test_a_cleared_part_passes_and_a_late_clear_is_told_as_such():
    with running() as line:
        line.beat()
        line.say(Kind.EXPECT, part=1, t_ns=time.monotonic_ns() + 200 * MS)
        line.say(Kind.CLEAR, part=1)
        done = line.hear(Kind.OUTCOME)
        assert (done.code, done.part, done.t_ns, done.lateness_ns) == (Outcome.PASSED, 1, 0, 0)
        line.say(Kind.EXPECT, part=2, t_ns=time.monotonic_ns())
        assert line.hear(Kind.OUTCOME).code == Outcome.REJECTED
        line.say(Kind.CLEAR, part=2)
        assert line.hear(Kind.OUTCOME).code == Outcome.REJECTED_LATE


def test_an_operators_reset_reaches_the_schedule():
    with running(stop_after_rejects=1) as line:
        line.beat()
        line.say(Kind.EXPECT, part=1, t_ns=time.monotonic_ns())
        line.hear(Kind.OUTCOME)
        answer = line.beat()
        assert (answer.code, answer.stops) == (GateState.STOPPED, Stop.TOO_MANY_REJECTS)
        line.say(Kind.RESET, stops=Stop.REJECT_NOT_DRIVEN)
        assert line.beat().code == GateState.STOPPED
        line.say(Kind.RESET, stops=Stop.TOO_MANY_REJECTS)
        assert line.beat().code == GateState.RUNNING


def test_a_reject_that_was_not_driven_says_how_late_it_was():
    with capture_logs() as logs, running(max_lateness_ms=40) as line:
        line.beat()
        line.say(Kind.EXPECT, part=1, t_ns=time.monotonic_ns() + 100 * MS)
        assert line.hear(Kind.OUTCOME).code == Outcome.REJECTED
        time.sleep(0.2)  # its pulse is over
        due_ns = time.monotonic_ns() - 50 * MS
        line.say(Kind.EXPECT, part=2, t_ns=due_ns)
        done = line.hear(Kind.OUTCOME)
        assert done.code == Outcome.NOT_DRIVEN
        assert done.lateness_ns >= 50 * MS
        assert line.beat().stops == Stop.REJECT_NOT_DRIVEN
    told = [(log["part"], log["late_ms"]) for log in logs if "look for this label" in log["event"]]
    assert told == [(2, round(done.lateness_ns / 1e6, 1))]


def test_stop_lets_what_is_in_flight_finish_and_then_ends():
    with running() as line:
        line.beat()
        due_ns = time.monotonic_ns() + 200 * MS
        line.say(Kind.EXPECT, part=1, t_ns=due_ns)
        line.say(Kind.EXPECT, part=2, t_ns=due_ns + 100 * MS)
        line.say(Kind.CLEAR, part=1)
        line.say(Kind.STOP)
        assert not line.ends(0.05)
        assert not line.device.signals.run_permit, "nothing new may come"
        assert [line.hear(Kind.OUTCOME).code for _ in range(2)] == [Outcome.PASSED, Outcome.REJECTED]
        assert line.ends(2)
        assert time.monotonic_ns() >= due_ns + 110 * MS, "its pulse lasts its width"


def test_a_line_that_hangs_up_has_everything_in_flight_rejected():
    with running() as line:
        line.beat()
        due_ns = time.monotonic_ns() + 200 * MS
        line.say(Kind.EXPECT, part=1, t_ns=due_ns)
        line.say(Kind.CLEAR, part=1)
        line.hang_up()
        assert not line.ends(0.05)
        assert not line.device.signals.run_permit
        assert line.ends(2)
    assert any(t_ns >= due_ns and signals.actuator for t_ns, signals in line.device.history)


def test_a_line_that_hangs_up_without_having_listened_is_gone_too():
    with running() as line:
        line.say(Kind.PERMIT, 1)
        due_ns = time.monotonic_ns() + 300 * MS
        line.say(Kind.EXPECT, part=1, t_ns=due_ns)
        time.sleep(0.1)
        line.hang_up()
        assert line.ends(2)
    assert any(t_ns >= due_ns and signals.actuator for t_ns, signals in line.device.history)


@pytest.mark.parametrize("kind", [Kind.OUTCOME, Kind.ALIVE])
def test_what_only_the_gate_says_changes_nothing(kind):
    with running() as line:
        line.beat()
        line.say(kind, part=1)
        assert line.beat().code == GateState.RUNNING


def test_a_line_that_does_not_listen_does_not_keep_the_gate_from_driving():
    with running(width_ms=1) as line:
        for part in range(1, 3000):
            line.say(Kind.PERMIT, 1)
            if part % 300 == 0:
                line.say(Kind.EXPECT, part=part, t_ns=time.monotonic_ns())
        due_ns = time.monotonic_ns() + 50 * MS
        line.say(Kind.EXPECT, part=5000, t_ns=due_ns)
        time.sleep(0.2)
        assert any(t_ns >= due_ns and signals.actuator for t_ns, signals in line.device.history)


def test_a_line_that_talks_without_a_pause_does_not_keep_the_gate_from_driving():
    with running() as line:
        line.beat()
        line.say(Kind.EXPECT, part=1, t_ns=time.monotonic_ns() + 100 * MS)
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            line.say(Kind.RESET)
        done = line.hear(Kind.OUTCOME)
        assert done.code == Outcome.REJECTED
        assert done.lateness_ns < 350 * MS


def test_an_idle_gate_sleeps():
    with running(heartbeat_ms=500, refresh_ms=1000) as line:
        line.beat()
        begun_s = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - begun_s < 0.25
    # and while it waits for the last label of a line that has closed the channel
    with running() as line:
        line.beat()
        line.say(Kind.EXPECT, part=1, t_ns=time.monotonic_ns() + 500 * MS)
        line.hang_up()
        begun_s = time.process_time()
        assert line.ends(5)
        assert time.process_time() - begun_s < 0.25


BEAT = (Kind.PERMIT, 1)
HOLD = (Kind.PERMIT, 0)
LABEL = (Kind.EXPECT, 0)
STOP = (Kind.STOP, 0)


@pytest.mark.parametrize(
    ("said", "is_a_fault"),
    [
        ([], False),
        ([HOLD], False),
        ([LABEL], True),
        ([BEAT], True),
        ([BEAT, HOLD], True),
        ([LABEL, HOLD], True),
        ([BEAT, LABEL, STOP], False),
    ],
)
def test_a_line_that_is_gone_is_a_fault_if_it_had_begun_and_not_stopped(said, is_a_fault):
    with capture_logs() as logs, running() as line:
        for kind, code in said:
            line.say(kind, code, part=1, t_ns=time.monotonic_ns() + 50 * MS)
        line.hang_up()
        assert line.ends()
    assert any(log["event"].startswith("the line is gone") for log in logs) is is_a_fault
