"""The gate as a process, judged by the record of the simulated output and by a Modbus PLC."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspectd.errors import CameraError, InUseError, LineFault, OutputError
from inspectd.gate import GateConfig, GateLink
from inspectd.gate.messages import SIZE, Kind, Message
from inspectd.gate.outcome import Alive, Done, GateState, Outcome, Stop
from inspectd.ownership import Claim
from inspectd_tools.plc.modbus_plc import ModbusPlc
from tests.gate.bench import gate_config
from tests.processes import is_running

pytestmark = pytest.mark.alone


def record(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


News = list[Done | Alive]


def collect(link: GateLink, wanted: Callable[[News], bool], ok: bool = True) -> News:
    """Sends permit messages until the gate has said what is wanted."""
    messages: News = []
    end = time.monotonic() + 10
    while not wanted(messages):
        assert time.monotonic() < end, messages
        link.permit(ok)
        time.sleep(0.01)
        messages += link.receive()
    return messages


def outcomes(messages: News) -> dict[int, Outcome]:
    return {message.part: message.outcome for message in messages if isinstance(message, Done)}


def running(messages: News) -> bool:
    return said(messages, GateState.RUNNING)


def said(messages: News, state: GateState) -> bool:
    return any(message.state is state for message in messages if isinstance(message, Alive))


def stopped(stop: Stop) -> Callable[[News], bool]:
    """Whether the gate has said that this stop holds."""
    return lambda messages: any(stop in message.stops for message in messages if isinstance(message, Alive))


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[tuple[GateLink, Path]]:
    path = tmp_path / "output.jsonl"
    config = gate_config(output={"kind": "simulated", "record": str(path)}, stall_ms=200)
    with GateLink.start(config) as link:
        yield link, path


def test_what_the_gate_said_last_arrives_although_it_left_a_message_unread():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = GateLink(gate_config(), ours, None)
    theirs.send(Message(Kind.OUTCOME, Outcome.PASSED, part=7).pack())
    link.permit(True)
    theirs.close()
    assert link.receive() == [Done(7, Outcome.PASSED)]
    with pytest.raises(LineFault, match="gone"):
        link.receive()
    link.close()


def test_the_answer_to_a_beat_before_an_acknowledgement_is_not_heard():
    """It may still name the stops that were acknowledged."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, GateLink(gate_config(), ours, None) as link:
        for _ in range(2):
            link.permit(True)
            beat = Message.unpack(theirs.recv(SIZE))
            link.reset(Stop.REJECT_NOT_DRIVEN)
            assert Message.unpack(theirs.recv(SIZE)).stops == Stop.REJECT_NOT_DRIVEN
            theirs.send(Message(Kind.ALIVE, GateState.STOPPED, t_ns=beat.t_ns, stops=Stop.REJECT_NOT_DRIVEN).pack())
            theirs.send(Message(Kind.OUTCOME, Outcome.NOT_DRIVEN, part=7).pack())
            assert link.receive() == [Done(7, Outcome.NOT_DRIVEN)]
        link.permit(True)
        beat = Message.unpack(theirs.recv(SIZE))
        theirs.send(Message(Kind.ALIVE, GateState.STOPPED, t_ns=beat.t_ns, stops=Stop.TOO_MANY_REJECTS).pack())
        assert link.receive() == [Alive(GateState.STOPPED, Stop.TOO_MANY_REJECTS)]


def test_rejects_at_due_and_passes_what_is_cleared(simulated):
    link, path = simulated
    collect(link, running)
    due = time.monotonic_ns() + 100_000_000
    link.expect(1, due)
    link.expect(2, due + 60_000_000)
    link.clear(2)
    messages = collect(link, lambda seen: len(outcomes(seen)) == 2)
    assert outcomes(messages) == {1: Outcome.REJECTED, 2: Outcome.PASSED}
    pulses = [int(line["t_ns"]) for line in record(path) if line["actuator"]]
    assert len(pulses) == 1
    assert pulses[0] >= due
    last = link.stop()
    assert all(isinstance(message, Done | Alive) for message in last)
    assert record(path)[-1]["run_permit"] is False


def test_stop_lets_what_is_in_flight_finish(simulated):
    link, path = simulated
    collect(link, running)
    link.expect(7, time.monotonic_ns() + 200_000_000)
    assert outcomes(link.stop()) == {7: Outcome.REJECTED}
    assert any(line["actuator"] for line in record(path))


def test_a_killed_line_costs_run_permit_and_everything_in_flight(tmp_path):
    path = tmp_path / "output.jsonl"
    script = (
        "import sys, time\n"
        "from inspectd.gate import GateConfig, GateLink\n"
        "link = GateLink.start(GateConfig.model_validate_json(sys.argv[1]))\n"
        "link.permit(True)\n"
        "link.expect(1, time.monotonic_ns() + 400_000_000)\n"
        "link.clear(1)\n"
        "print(link.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    config = gate_config(output={"kind": "simulated", "record": str(path)}, stall_ms=5000)
    line = subprocess.Popen([sys.executable, "-c", script, config.model_dump_json()], stdout=subprocess.PIPE)
    assert line.stdout is not None
    gate = int(line.stdout.readline())
    time.sleep(0.1)
    line.send_signal(signal.SIGKILL)
    line.wait()
    killed_ns = time.monotonic_ns()
    end = time.monotonic() + 10
    while is_running(gate) and time.monotonic() < end:
        time.sleep(0.02)
    lines = record(path)
    permits = [line for line in lines if line["run_permit"]]
    assert permits, "run permit was never on, so the test shows nothing"
    dropped = next(line for line in lines if not line["run_permit"] and line["t_ns"] > permits[-1]["t_ns"])
    assert int(dropped["t_ns"]) < killed_ns + 200_000_000
    assert any(line["actuator"] for line in lines), "the cleared part passed though nobody vouched for it any more"
    assert lines[-1] | {"t_ns": 0, "t_utc_ns": 0, "heartbeat": 0} == {
        "t_ns": 0,
        "t_utc_ns": 0,
        "actuator": False,
        "run_permit": False,
        "heartbeat": 0,
    }


def test_a_label_of_which_the_gate_hears_after_the_end_of_the_line_is_rejected(simulated):
    link, path = simulated
    collect(link, running)
    link.permit(True)
    time.sleep(0.05)  # the answer has come, and nobody reads it
    os.kill(link.pid, signal.SIGSTOP)
    link.expect(1, time.monotonic_ns() + 100_000_000)
    link._channel.close()
    os.kill(link.pid, signal.SIGCONT)
    time.sleep(0.3)
    assert any(line["actuator"] for line in record(path))
    assert record(path)[-1]["run_permit"] is False


def test_a_stalled_line_loses_run_permit_and_gets_it_back(simulated):
    link, path = simulated
    collect(link, running)
    time.sleep(0.6)
    assert record(path)[-1]["run_permit"] is False
    collect(link, running)
    time.sleep(0.05)
    assert record(path)[-1]["run_permit"] is True


def test_a_gate_that_stood_still_at_due_says_which_label_to_look_for_and_stops_the_belt(simulated):
    link, path = simulated
    collect(link, running)
    due = time.monotonic_ns() + 60_000_000
    link.expect(1, due)
    stand_still(link.pid, until_ns=due + 60_000_000)
    messages = collect(link, stopped(Stop.REJECT_NOT_DRIVEN))
    assert outcomes(messages) == {1: Outcome.NOT_DRIVEN}
    pulse = next(line for line in record(path) if line["actuator"])
    assert int(pulse["t_ns"]) > due + 60_000_000
    assert not record(path)[-1]["run_permit"]
    link.reset(~Stop(0))
    collect(link, running)


def test_a_pulse_that_was_on_at_due_is_in_time_though_the_gate_stood_still(tmp_path):
    output = {"kind": "simulated", "record": str(tmp_path / "output.jsonl")}
    with GateLink.start(gate_config(output=output, width_ms=300, max_lateness_ms=50, stall_ms=1000)) as link:
        collect(link, running)
        due = time.monotonic_ns() + 60_000_000
        link.expect(1, due)
        link.expect(2, due + 100_000_000)
        time.sleep(0.11)
        stand_still(link.pid, until_ns=due + 200_000_000)
        messages = collect(link, lambda seen: len(outcomes(seen)) == 2)
        assert outcomes(messages) == {1: Outcome.REJECTED, 2: Outcome.REJECTED}
        link.expect(3, due)
        assert outcomes(collect(link, lambda seen: bool(outcomes(seen)))) == {3: Outcome.REJECTED}
        link.expect(4, due - 100_000_000)
        messages = collect(link, lambda seen: bool(outcomes(seen)))
        assert outcomes(messages) == {4: Outcome.NOT_DRIVEN}, "the pulse was on when it came, and not at its due time"


def stand_still(pid: int, *, until_ns: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(max(0, until_ns - time.monotonic_ns()) / 1e9)
    os.kill(pid, signal.SIGCONT)


def test_a_killed_gate_is_a_line_fault_and_the_output_is_made_safe(simulated):
    link, path = simulated
    collect(link, running)
    os.kill(link.pid, signal.SIGKILL)
    with pytest.raises(LineFault, match="gate is gone"):
        for _ in range(100):
            link.receive()
            time.sleep(0.02)
    link.close()
    assert record(path)[-1]["run_permit"] is False


def test_the_safe_state_in_place_of_a_killed_gate_is_written_at_once(simulated, monkeypatch):
    """The output is opened first: an attempt without that would fail, and the next one comes later."""
    monkeypatch.setattr("inspectd.gate.outputs.base._RETRY_S", 5)
    link, path = simulated
    collect(link, running)
    os.kill(link.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    link.close()
    assert time.monotonic() - killed_s < 3
    assert record(path)[-1]["run_permit"] is False


def test_a_hung_gate_is_killed_and_the_output_is_made_safe(plc):
    link = GateLink.start(modbus_config(plc, stall_ms=250))
    collect(link, running)
    link.expect(1, time.monotonic_ns() + 300_000_000)
    os.kill(link.pid, signal.SIGSTOP)
    hung_s = time.monotonic()
    with pytest.raises(LineFault, match="has not answered"):
        collect(link, lambda seen: False)
    link.close()
    assert not plc.coil(PERMIT)
    assert time.monotonic() - hung_s < 3
    assert not Path(f"/proc/{link.pid}").exists()


@pytest.mark.parametrize("how", ["stop", "hang up"])
def test_a_gate_that_hangs_at_the_end_of_the_line_costs_no_more_time_than_at_any_other(plc, how):
    link = GateLink.start(modbus_config(plc, stall_ms=250))
    collect(link, running)
    os.kill(link.pid, signal.SIGSTOP)
    hung_s = time.monotonic()
    if how == "stop":
        with pytest.raises(LineFault, match="has not answered"):
            link.stop()
    link.close()
    assert not plc.coil(PERMIT)
    assert time.monotonic() - hung_s < 3


def test_a_gate_that_dies_while_it_finishes_is_no_clean_stop(plc):
    link = GateLink.start(modbus_config(plc))
    collect(link, running)
    link.expect(1, time.monotonic_ns() + 1_000_000_000)
    threading.Timer(0.2, os.kill, (link.pid, signal.SIGKILL)).start()
    link.stop()
    with pytest.raises(LineFault, match="labels in flight may have gone by"):
        link.close()
    assert not plc.coil(PERMIT)


class CameraWithOutputs:
    """The user outputs of a camera. They are slow, and fail while `is_away`."""

    def __init__(self) -> None:
        self.levels = {"UserOutput1": False, "UserOutput2": False}
        self.is_away = False

    def set_user_output(self, line: str, level: bool) -> None:
        time.sleep(0.02)
        self.user_output(line)
        self.levels[line] = level

    def user_output(self, line: str) -> bool:
        if self.is_away:
            raise CameraError("camera: away")
        return self.levels[line]


def camera_output() -> tuple[GateLink, CameraWithOutputs]:
    camera = CameraWithOutputs()
    config = gate_config(output={"kind": "camera", "permit_line": "UserOutput2"}, delay_ms=200, width_ms=100)
    link = GateLink.start(config, camera)
    collect(link, running)
    until(lambda: camera.levels["UserOutput2"])
    return link, camera


@pytest.mark.parametrize("how", ["stop", "hang up"])
def test_the_end_of_a_line_waits_until_the_outputs_of_its_camera_are_safe(how):
    link, camera = camera_output()
    due_ns = time.monotonic_ns() + 100_000_000
    link.expect(1, due_ns)
    if how == "stop":
        link.stop()
    link.close()
    assert time.monotonic_ns() > due_ns
    assert not any(camera.levels.values())


def test_outputs_of_a_camera_that_can_not_be_made_safe_are_said(monkeypatch):
    monkeypatch.setattr("inspectd.gate.thread.SAFE_WITHIN_S", 0.3)
    link, camera = camera_output()
    camera.is_away = True
    with pytest.raises(OutputError, match="run permit may still be on"):
        link.close()


def test_a_gate_that_waits_for_its_device_does_not_hang(plc):
    with GateLink.start(modbus_config(plc, stall_ms=60)) as link:
        collect(link, running)
        plc.command(do="silent", ms=900)
        collect(link, lambda seen: said(seen, GateState.OUTPUT_FAILED))
        collect(link, running)


def test_a_gate_that_ends_for_a_reason_nobody_foresaw_leaves_the_output_safe(plc):
    link = GateLink.start(modbus_config(plc))
    collect(link, running)
    link._channel.send(b"no message of ours")
    with pytest.raises(LineFault, match="gate is gone"):
        collect(link, lambda seen: False)
    link.close()
    assert not plc.coil(PERMIT)


@pytest.mark.parametrize("how", ["stop", "hang up"])
def test_the_end_of_a_line_during_a_cut_of_the_network_takes_run_permit_off_once_it_is_back(plc, how):
    link = GateLink.start(modbus_config(plc))
    collect(link, running)
    plc.command(do="cut", ms=1500)
    if how == "stop":
        link.stop()
    link.close()
    assert not plc.coil(PERMIT)


def test_an_end_that_cannot_be_made_safe_says_so(plc):
    link = GateLink.start(modbus_config(plc))
    collect(link, running)
    plc.command(do="cut", ms=30_000)
    with pytest.raises(OutputError, match=r"could not be written within .* run permit may still be on"):
        link.close()


@pytest.mark.parametrize("manner", ["busy", "empty", "short", "wrong_transaction", "silent"])
def test_a_device_that_answers_badly_is_an_output_that_failed_and_works_again(plc, manner):
    config = modbus_config(plc, confirmation={"within_ms": 100}, confirmation_input=7)
    plc.command(do="input", address=7, value=0)
    with GateLink.start(config) as link:
        collect(link, running)
        plc.command(do=manner, ms=400)
        link.expect(1, time.monotonic_ns() + 50_000_000)
        messages = collect(link, lambda seen: said(seen, GateState.OUTPUT_FAILED))
        messages += collect(link, lambda seen: bool(outcomes(messages + seen)))
        assert outcomes(messages)[1] is Outcome.NOT_DRIVEN
        assert stopped(Stop.REJECT_NOT_DRIVEN)(collect(link, lambda seen: said(seen, GateState.STOPPED)))
        link.reset(~Stop(0))
        collect(link, running)


def test_a_log_that_nobody_reads_does_not_hold_up_the_gate(plc):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"full" * 1024)
    except BlockingIOError:
        os.set_blocking(writing, True)
    script = (
        "import sys, time\n"
        "from inspectd.gate import GateConfig, GateLink\n"
        "link = GateLink.start(GateConfig.model_validate_json(sys.argv[1]))\n"
        "print(flush=True)\n"
        "while True:\n"
        "    link.receive(); link.permit(True); time.sleep(0.02)\n"
    )
    command = [sys.executable, "-c", script, modbus_config(plc).model_dump_json()]
    line = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing)
    try:
        assert line.stdout is not None
        line.stdout.readline()
        until(lambda: plc.coil(PERMIT))
        for _ in range(3):  # each is a line or two in the gate's log
            plc.command(do="set", coil=PERMIT, value=0)
            until(lambda: not plc.coil(PERMIT))
            until(lambda: plc.coil(PERMIT))
    finally:
        line.kill()
        line.wait()
        until(lambda: not plc.coil(PERMIT))
        os.close(reading)
        os.close(writing)


def test_a_gate_waits_for_the_one_before_it_to_leave_the_output(tmp_path):
    config = gate_config(output={"kind": "simulated", "record": str(tmp_path / "output.jsonl")})
    (device,) = config.output.devices
    owner = Claim(device)
    threading.Timer(0.5, owner.release).start()
    with GateLink.start(config) as link, pytest.raises(InUseError, match=f"process {link.pid}"):
        Claim(device)


def test_a_gate_ignores_the_signals_of_its_group(simulated):
    link, _ = simulated
    for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT):
        os.kill(link.pid, sent)
    collect(link, running)


def test_an_output_that_cannot_be_opened_is_said(tmp_path):
    config = gate_config(output={"kind": "simulated", "record": "/proc/nothing/here.jsonl"})
    with pytest.raises(OutputError, match="can't be opened"):
        GateLink.start(config)


def test_an_unconfirmed_reject_takes_run_permit_until_reset(tmp_path):
    output = {"kind": "simulated", "record": str(tmp_path / "output.jsonl"), "confirms": False}
    config = gate_config(output=output, confirmation={"within_ms": 30}, stall_ms=1000)
    with GateLink.start(config) as link:
        collect(link, running)
        link.expect(1, time.monotonic_ns())
        collect(link, stopped(Stop.REJECT_UNCONFIRMED))
        link.reset(~Stop(0))
        collect(link, running)


ACTUATOR, PERMIT, HEARTBEAT = 3, 4, 5


@pytest.fixture
def plc(tmp_path: Path) -> Iterator[ModbusPlc]:
    with ModbusPlc(tmp_path / "coils.jsonl") as server:
        yield server


def modbus_config(plc: ModbusPlc, confirmation_input: int | None = None, **changes: object) -> GateConfig:
    output = {
        "kind": "modbus",
        "host": "127.0.0.1",
        "port": plc.port,
        "actuator_coil": ACTUATOR,
        "run_permit_coil": PERMIT,
        "heartbeat_register": HEARTBEAT,
        "confirmation_input": confirmation_input,
        "timeout_ms": 200,
    }
    return gate_config(output=output, **{"stall_ms": 2000, **changes})


def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_belt_stands_until_each_reason_is_acknowledged(plc):
    """At the coil: a reject is neither driven nor confirmed."""
    plc.command(do="input", address=7, value=0)
    with GateLink.start(modbus_config(plc, confirmation={"within_ms": 100}, confirmation_input=7)) as link:
        collect(link, running)
        due_ns = time.monotonic_ns() + 50_000_000
        plc.command(do="ignore", coil=ACTUATOR, ms=300)
        link.expect(1, due_ns)
        collect(link, lambda seen: Alive(GateState.STOPPED, Stop.REJECT_UNCONFIRMED | Stop.REJECT_NOT_DRIVEN) in seen)
        link.reset(Stop.REJECT_UNCONFIRMED)
        collect(link, lambda seen: Alive(GateState.STOPPED, Stop.REJECT_NOT_DRIVEN) in seen)
        link.reset(Stop.REJECT_NOT_DRIVEN)
        acknowledged_ns = time.monotonic_ns()
        collect(link, running)
        until(lambda: plc.coil(PERMIT))
        assert all(t_ns > acknowledged_ns for t_ns, on in plc.writes(PERMIT) if on and t_ns > due_ns)


def test_stops_of_the_session_before_keep_the_coil_off_until_they_are_acknowledged(plc):
    with GateLink.start(modbus_config(plc)) as link:
        link.latch(Stop.REJECT_NOT_DRIVEN | Stop.TOO_MANY_REJECTS)
        collect(link, stopped(Stop.REJECT_NOT_DRIVEN | Stop.TOO_MANY_REJECTS))
        link.reset(Stop.TOO_MANY_REJECTS)
        collect(link, stopped(Stop.REJECT_NOT_DRIVEN))
        assert not any(on for _, on in plc.writes(PERMIT))
        link.reset(Stop.REJECT_NOT_DRIVEN)
        collect(link, running)
        until(lambda: plc.coil(PERMIT))


def test_modbus_pulses_and_a_server_that_goes_and_comes_back(plc):
    with GateLink.start(modbus_config(plc)) as link:
        collect(link, running)
        due = time.monotonic_ns() + 50_000_000
        link.expect(1, due)
        assert outcomes(collect(link, lambda seen: bool(outcomes(seen)))) == {1: Outcome.REJECTED}
        assert any(level and t_ns >= due for t_ns, level in plc.writes(ACTUATOR))
        assert plc.writes(PERMIT)[-1][1]
        plc.stop()
        collect(link, lambda seen: said(seen, GateState.OUTPUT_FAILED))
        link.expect(2, time.monotonic_ns())
        assert outcomes(collect(link, lambda seen: bool(outcomes(seen)))) == {2: Outcome.NOT_DRIVEN}
        plc.start()
        collect(link, stopped(Stop.REJECT_NOT_DRIVEN))
        link.reset(~Stop(0))
        collect(link, running)
        link.expect(3, time.monotonic_ns() + 50_000_000)
        assert outcomes(collect(link, lambda seen: bool(outcomes(seen)))) == {3: Outcome.REJECTED}


def test_a_device_without_a_watchdog_is_said_at_every_start(plc, capfd):
    with GateLink.start(modbus_config(plc)) as link:
        collect(link, running)
    assert "gate.output.watchdog: missing" in capfd.readouterr().err


def test_a_line_that_never_started_is_not_said_to_be_gone(plc, capfd):
    with GateLink.start(modbus_config(plc)):
        pass
    assert "the line is gone" not in capfd.readouterr().err
    with GateLink.start(modbus_config(plc)) as link:
        collect(link, running)
    assert "the line is gone" in capfd.readouterr().err
