"""How the output is written, refreshed and tried again, call by call."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from inspectd.gate.outcome import GateState
from inspectd.gate.outputs.base import SAFE, Signals
from tests.gate.bench import MS, Bench


def calls_of(bench: Bench) -> list[tuple[str, float]]:
    """What the device is asked from now on, and when in ms."""
    calls: list[tuple[str, float]] = []

    def noted(name: str) -> Callable[..., object]:
        call = getattr(bench.device, name)

        def ask(*arguments: object) -> object:
            calls.append((name, bench.device.now_ns / MS))
            return call(*arguments)

        return ask

    for name in ("write", "actuator", "run_permit", "confirmed"):
        setattr(bench.device, name, noted(name))
    return calls


def test_nothing_is_written_while_nothing_changes():
    bench = Bench()
    calls = calls_of(bench)
    bench.at(10, beats=False)
    assert calls == [], "SAFE was written when the output was opened"
    bench.at(11)
    assert [name for name, _ in calls] == ["write"]


def test_a_refresh_reads_both_signals_and_writes_them_again_one_at_a_time():
    bench = Bench(refresh_ms=100, heartbeat_ms=5000)
    bench.at(0)
    calls = calls_of(bench)
    for expected in (["actuator"], ["run_permit"], ["write"], []):
        bench.device.now_ns = 70 * MS
        bench.schedule.permit(True, bench.device.now_ns)
        before = len(calls)
        bench.turn()
        assert [name for name, _ in calls[before:]] == expected
        assert (bench.drive.wait_ns() == 0) == (expected in (["actuator"], ["run_permit"]))


@pytest.mark.parametrize(("due_ms", "refreshed_ms"), [(76, 70), (75, 70), (74, 90)])
def test_a_refresh_waits_for_a_pause_but_not_for_ever(due_ms, refreshed_ms):
    bench = Bench(refresh_ms=100, heartbeat_ms=5000, stall_ms=5000, width_ms=100)
    bench.expect(1, due_ms)
    for place in range(2, 12):
        bench.expect(place, due_ms + 4 * (place - 1))
    bench.at(10)
    calls = calls_of(bench)
    bench.at(refreshed_ms + 3)
    assert next(t_ms for name, t_ms in calls if name == "run_permit") == pytest.approx(refreshed_ms, abs=0.01)


def test_the_gate_sleeps_until_the_next_refresh():
    bench = Bench(refresh_ms=100, heartbeat_ms=5000, stall_ms=5000)
    bench.at(0)
    assert bench.drive.wait_ns() == 70 * MS
    bench.device.now_ns = 75 * MS
    assert bench.drive.wait_ns() == 0
    bench.device.now_ns = 30 * MS
    bench.device.answers = False
    bench.schedule.permit(False, bench.device.now_ns)
    bench.turn()
    assert bench.drive.wait_ns() == 0, "it may still take run permit off"
    bench.turn()
    assert bench.drive.wait_ns() == 100 * MS, "a device that fails is not asked more often than that"


def test_a_confirmation_is_asked_for_every_2_ms_until_it_comes():
    bench = Bench(confirmation={"within_ms": 30}, width_ms=100, refresh_ms=1000)
    bench.device.confirms = False
    bench.expect(1, 100)
    bench.at(99)
    calls = calls_of(bench)
    bench.at(106.5)
    assert [t_ms for name, t_ms in calls if name == "confirmed"] == pytest.approx([100, 102, 104, 106, 106.5], abs=0.01)
    bench.device.confirms = True
    bench.at(110)
    bench.device.confirms = False
    bench.at(150)
    assert bench.schedule.state(150 * MS) is GateState.RUNNING
    assert [t_ms for name, t_ms in calls if name == "confirmed"][-1] <= 108.01


def test_a_failed_output_is_tried_again_with_the_safe_state_every_refresh_until_it_works_twice():
    bench = Bench(refresh_ms=100, heartbeat_ms=5000, stall_ms=5000)
    bench.at(10)
    bench.device.answers = False
    bench.expect(1, 20)
    bench.at(20)
    assert bench.schedule.state(bench.device.now_ns) is GateState.OUTPUT_FAILED
    calls = calls_of(bench)
    bench.at(150)
    assert calls == [("write", pytest.approx(20, abs=0.01)), ("write", pytest.approx(120, abs=0.01))]
    bench.device.answers = True
    bench.at(250)
    at_220 = pytest.approx(220, abs=0.01)
    assert calls[2:] == [("write", at_220), ("actuator", at_220), ("run_permit", at_220)]
    assert bench.device.signals == SAFE
    assert bench.schedule.state(bench.device.now_ns) is GateState.OUTPUT_FAILED
    bench.at(320.1)
    at_320 = pytest.approx(320, abs=0.01)
    assert calls[5:8] == [("write", at_320), ("actuator", at_320), ("run_permit", at_320)]
    assert bench.schedule.state(bench.device.now_ns) is not GateState.OUTPUT_FAILED


def test_run_permit_is_taken_off_at_once_where_something_else_reads_back_otherwise():
    bench = Bench(refresh_ms=1000)
    bench.device.drives_actuator = False
    bench.expect(1, 100)
    bench.at(111)
    assert bench.schedule.state(bench.device.now_ns) is GateState.OUTPUT_FAILED
    assert not bench.device.signals.run_permit


def test_a_safe_state_that_reads_back_otherwise_does_not_count_as_working():
    bench = Bench(refresh_ms=100)
    bench.at(10)
    bench.device.apply(Signals(run_permit=False))
    bench.until(lambda: bench.schedule.state(bench.device.now_ns) is GateState.OUTPUT_FAILED)
    bench.device.run_permit = lambda: True
    bench.at(1000)
    assert bench.schedule.state(bench.device.now_ns) is GateState.OUTPUT_FAILED
    bench.device.run_permit = lambda: None  # it is not wired
    bench.at(1500)
    assert bench.schedule.state(bench.device.now_ns) is GateState.RUNNING


@pytest.mark.parametrize(
    ("tampered", "why"),
    [
        (Signals(run_permit=False), "run permit was set to True, but reads back False"),
        (Signals(actuator=True, run_permit=True), "the actuator was set to False, but reads back True"),
    ],
)
def test_a_failure_is_told_once_with_its_reason_and_so_is_its_end(tampered, why):
    with capture_logs() as logs:
        bench = Bench(refresh_ms=100)
        bench.at(10)
        bench.device.apply(tampered)
        bench.at(110)
        bench.device.answers = False
        bench.at(1000)
        bench.device.answers = True
        bench.at(1500)
    assert [(line["log_level"], line.get("error")) for line in logs] == [("error", why), ("warning", None)]


def test_a_failure_without_words_is_told_by_its_kind():
    bench = Bench()
    bench.at(10)
    bench.device.write = lambda signals: (_ for _ in ()).throw(TimeoutError())
    with capture_logs() as logs:
        bench.expect(1, 20)
        bench.at(30)
    assert [line["error"] for line in logs] == ["TimeoutError"]
