"""The faults of the campaign: each breaks one thing of a running line and returns when it is over.

A fault that stops the inspection says when it did, and how soon run permit must be off at the plant's coil.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.plant.line import Line
from tests.plant.truth import ACTUATOR, PERMIT

TIMEOUT_MS = 50.0
"""Default of gate.output.timeout_ms: as long as one answer of the device may take."""
LINE_KILLED_MS = TIMEOUT_MS
LINE_STOPPED_MS = TIMEOUT_MS
"""On top of gate.stall_ms."""
GATE_KILLED_MS = 20 + 2 * TIMEOUT_MS
GATE_STOPPED_MS = 5 * TIMEOUT_MS
"""On top of gate.stall_ms: the line waits for three answers of the device, kills the gate, connects and writes."""
CUT_MS = 100 + TIMEOUT_MS
"""After the network is back: gate.refresh_ms and an answer."""
WATCHDOG_MS = 50.0
"""On top of the coupler's own time."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Run permit must be off `limit_ms` after `t_ns`: when inspection was lost, or when the network is back."""

    t_ns: int
    limit_ms: float


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fault may know of its line."""

    line: Line
    random: Random
    stall_ms: float
    watchdog_ms: int
    """Of the coupler; 0: it has none."""

    def command(self, **command: Any) -> int:
        return self.line.plc.command(**command)

    def pick(self, *choices: float) -> float:
        return self.random.choice(choices)

    def seconds(self, low: float, high: float) -> float:
        """Short times are as frequent as long ones."""
        return float(low * (high / low) ** self.random.random())


Fault = Callable[[Setting], list[Loss]]


def nothing(on: Setting) -> list[Loss]:
    time.sleep(0.5)
    return []


def cable_cut(on: Setting) -> list[Loss]:
    out_s = on.seconds(0.05, 5)
    applies = int(on.pick(0, 0, 1, 2))
    begin_ns = on.command(do="cut", ms=1000 * out_s, late_ms=on.random.uniform(0, 300), applies=applies)
    time.sleep(out_s + 0.3)
    falls = 0 < on.watchdog_ms < 1000 * out_s - 50 and not applies
    return [Loss(begin_ns, on.watchdog_ms + WATCHDOG_MS)] if falls else []


def plc_restart(on: Setting) -> list[Loss]:
    down_s = on.seconds(0.01, 1.5)
    on.command(do="restart", ms=1000 * down_s)
    time.sleep(down_s + 0.2)
    return []


def connections_refused(on: Setting) -> list[Loss]:
    return _misbehave(on, "refuse")


def slow_answers(on: Setting) -> list[Loss]:
    return _misbehave(on, str(on.random.choice(["slow_before", "slow_after"])), delay_ms=on.seconds(3, 150))


def stuck_actuator(on: Setting) -> list[Loss]:
    return _misbehave(on, "ignore", coil=ACTUATOR)


def overwritten_by_program(on: Setting) -> list[Loss]:
    return _misbehave(on, "program", coil=ACTUATOR, value=int(on.pick(0, 0, 1)), scan_ms=on.seconds(1, 50))


def set_by_somebody(on: Setting) -> list[Loss]:
    coil, value = on.random.choice([(ACTUATOR, 0), (ACTUATOR, 1), (PERMIT, 0), (PERMIT, 1)])
    moments = [on.random.uniform(0, 600) for _ in range(8)]
    on.line.plc.plan([{"do": "set", "coil": coil, "value": value, "after_ms": moment} for moment in sorted(moments)])
    time.sleep(0.2)
    return []


def bad_answers(on: Setting) -> list[Loss]:
    manner = on.random.choice(["busy", "empty", "short", "wrong_transaction", "silent"])
    return _misbehave(on, manner, every=int(on.pick(1, 5, 20)))


def line_stopped(on: Setting) -> list[Loss]:
    for_s = on.seconds(0.03, 2)
    begin_ns = on.line.stop_line_for(for_s)
    limit_ms = on.stall_ms + LINE_STOPPED_MS
    return [Loss(begin_ns, limit_ms)] if 1000 * for_s > limit_ms else []


def line_killed(on: Setting) -> list[Loss]:
    begin_ns = on.line.signal_line(signal.SIGKILL)
    on.line.wait_for_end(15)
    return [Loss(begin_ns, LINE_KILLED_MS)]


def line_killed_in_a_cut(on: Setting) -> list[Loss]:
    return _ended_in_a_cut(on, signal.SIGKILL)


def stopped_in_a_cut(on: Setting) -> list[Loss]:
    return _ended_in_a_cut(on, signal.SIGTERM)


def gate_stopped(on: Setting) -> list[Loss]:
    for_s = on.seconds(0.01, 2)
    begin_ns = on.line.signal_gate(signal.SIGSTOP)
    time.sleep(for_s)
    on.line.signal_gate(signal.SIGCONT)
    limit_ms = on.stall_ms + GATE_STOPPED_MS
    return [Loss(begin_ns, limit_ms)] if 1000 * for_s > limit_ms else []


def gate_killed(on: Setting) -> list[Loss]:
    begin_ns = on.line.signal_gate(signal.SIGKILL)
    on.line.wait_for_end(15)
    return [Loss(begin_ns, GATE_KILLED_MS)]


def gate_killed_in_a_cut(on: Setting) -> list[Loss]:
    out_s = on.seconds(0.05, 3)
    begin_ns = on.command(do="cut", ms=1000 * out_s, late_ms=on.random.uniform(0, 300))
    time.sleep(on.random.uniform(0, out_s))
    on.line.signal_gate(signal.SIGKILL)
    on.line.wait_for_end(20)
    return [Loss(begin_ns + round(out_s * 1e9), GATE_KILLED_MS + CUT_MS)]


def both_killed(on: Setting) -> list[Loss]:
    """Neither can help the other: only the coupler's watchdog is left, if there is one."""
    on.line.signal_line(signal.SIGSTOP)
    on.line.signal_gate(signal.SIGSTOP)
    on.line.signal_gate(signal.SIGKILL)
    begin_ns = on.line.signal_line(signal.SIGKILL)
    on.line.wait_for_end(5)
    time.sleep(0.5)
    return [Loss(begin_ns, on.watchdog_ms + WATCHDOG_MS)] if on.watchdog_ms else []


def clean_stop(on: Setting) -> list[Loss]:
    begin_ns = on.line.signal_line(signal.SIGTERM)
    assert on.line.wait_for_end(20) == 0, on.line.life.log_text()[-2000:]
    return [Loss(begin_ns, LINE_KILLED_MS)]


def reload(on: Setting) -> list[Loss]:
    on.line.signal_line(signal.SIGHUP)
    time.sleep(0.5)
    return []


def camera_gone(on: Setting) -> list[Loss]:
    """The images that are left can't be read any more, and then the camera can't be opened."""
    aside = on.line.images.with_name("aside")
    on.line.images.rename(aside)
    time.sleep(on.seconds(0.1, 2))
    aside.rename(on.line.images)
    time.sleep(0.2)
    return []


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        nothing,
        cable_cut,
        plc_restart,
        connections_refused,
        slow_answers,
        stuck_actuator,
        overwritten_by_program,
        set_by_somebody,
        bad_answers,
        line_stopped,
        line_killed,
        line_killed_in_a_cut,
        stopped_in_a_cut,
        gate_stopped,
        gate_killed,
        gate_killed_in_a_cut,
        both_killed,
        clean_stop,
        reload,
        camera_gone,
    )
}


DRIVEN_BY_OTHERS = {"overwritten_by_program", "set_by_somebody"}
"""Here the plant itself may drive the rejector, for less time than lies between two read-backs: what it takes then is
recorded as passed."""


def _misbehave(on: Setting, manner: str, **details: Any) -> list[Loss]:
    for_s = on.seconds(0.1, 1.5)
    on.command(do=manner, ms=1000 * for_s, **details)
    time.sleep(for_s + 0.2)
    return []


def _ended_in_a_cut(on: Setting, sent: signal.Signals) -> list[Loss]:
    out_s = on.seconds(0.05, 5)
    begin_ns = on.command(do="cut", ms=1000 * out_s, late_ms=on.random.uniform(0, 300), applies=int(on.pick(0, 0, 1)))
    time.sleep(on.random.uniform(0, 0.9 * out_s))
    on.line.signal_line(sent)
    code = on.line.wait_for_end(20)
    end_ns = time.monotonic_ns()
    time.sleep(max(0.0, begin_ns / 1e9 + out_s + 1.5 - time.monotonic()))
    return [Loss(begin_ns + round(out_s * 1e9), CUT_MS)] + [Loss(end_ns, 0)] * (code == 0)
