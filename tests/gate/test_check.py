"""What `inspectd check` says about the output, compared with the coils of a Modbus device."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import yaml

from inspectd.cli import main
from inspectd.errors import InUseError
from inspectd.ownership import Claim
from inspectd_tools.plc.modbus_plc import ModbusPlc
from tests.factories import make_toy_bundle, toy_image
from tests.gate.outputs.test_modbus import Server

pytestmark = pytest.mark.alone

WATCHDOG_REGISTER = 0x1120


@pytest.fixture
def plc(tmp_path: Path) -> Iterator[ModbusPlc]:
    with ModbusPlc(tmp_path / "coils.jsonl", watchdog_ms=30_000) as server:
        yield server


@pytest.fixture
def output(plc: ModbusPlc) -> dict[str, object]:
    return {
        "kind": "modbus",
        "host": "127.0.0.1",
        "port": plc.port,
        "actuator_coil": 0,
        "run_permit_coil": 1,
        "heartbeat_register": 0,
        "timeout_ms": 500,
        "watchdog": {"register_address": WATCHDOG_REGISTER, "unit_ms": 1},
    }


@pytest.fixture
def check(tmp_path: Path, capsys):
    """Checks a line with this output; returns (exit code, what was printed)."""
    make_toy_bundle(tmp_path / "engine")
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "0.png"), toy_image("no_fail"))

    def run(output: dict[str, object], *options: str, **changes: object) -> tuple[int, str]:
        config = {
            "engine": "engine",
            "camera": {"kind": "replay", "source": "images", "rate_hz": 10, "max_age_ms": 90},
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": 120,
                "width_ms": 20,
                "realtime_priority": 0,
                "output": output,
            },
            "journal": {"path": "journal.sqlite"},
            **changes,
        }
        (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))
        code = main(["check", "--config", str(tmp_path / "line.yaml"), *options])
        return code, " ".join(capsys.readouterr().out.split())

    return run


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")  # a long tmp_path must not break a sentence


def test_the_actuator_is_pulsed_only_when_asked_for(plc, output, check):
    code, text = check(output)
    assert code == 0, text
    assert "not tried" in text
    assert not any(level for _, level in plc.writes(0))
    code, text = check(output, "--pulse")
    assert code == 0, text
    assert "read back as on for 20 ms, then as off" in text
    assert [level for _, level in plc.writes(0) if level] == [True]
    assert not plc.coil(0)


def test_a_look_touches_no_device_and_no_record(plc, output, check, tmp_path):
    check(output)
    plc.command(do="set", coil=0, value=1)
    (tmp_path / "journal.sqlite").unlink(missing_ok=True)
    code, text = check(output, "--look-only", "--json")
    assert code == 0, text
    assert plc.coil(0), "the look has written the safe state"
    assert not (tmp_path / "journal.sqlite").exists()
    found = {row["what"]: row for row in json.loads(text)}
    assert found["engine"]["ok"] is True
    assert "output" not in found
    assert found["not checked"]["fix"].startswith("stop the line, then run: sudo -u inspectd inspectd check")


def test_an_actuator_that_a_program_of_the_plc_writes_fails(plc, output, check):
    plc.command(do="ignore", ms=60_000, coil=0)
    code, text = check(output, "--pulse")
    assert code == 1
    assert "reads back as off" in text


def test_a_device_without_a_watchdog_fails_unless_somebody_waives_it(plc, output, check):
    without = {key: value for key, value in output.items() if key != "watchdog"}
    code, text = check(without)
    assert (code, "gate.output.watchdog: missing" in text) == (1, True)
    code, text = check({**without, "watchdog_waiver": "the PLC stops the belt itself (JM)"})
    assert (code, "the PLC stops the belt itself (JM)" in text) == (0, True)
    code, text = check({**output, "watchdog": {"register_address": 1, "unit_ms": 1}})
    assert (code, "watchdog is off (register 1 is 0)" in text) == (1, True)


def test_an_output_of_a_running_line_is_said_to_be_in_use_and_left_alone(plc, output, check):
    plc.command(do="set", coil=0, value=1)
    with Claim(f"output modbus 127.0.0.1:{plc.port} unit 1 coil 1"):
        code, text = check(output, "--pulse")
    assert code == 0
    assert "in use by the running line" in text
    assert plc.coil(0), "check has switched off what the running line had on"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_check_that_is_ended_leaves_no_actuator_on(plc, output, check, tmp_path, end):
    check(output)  # writes the config
    config = tmp_path / "line.yaml"
    config.write_text(config.read_text().replace("width_ms: 20", "pitch_ms: 20000\n  width_ms: 10000"))
    checking = subprocess.Popen(
        [sys.executable, "-m", "inspectd", "check", "--pulse", "--config", str(config)], stdout=subprocess.DEVNULL
    )
    end_s = time.monotonic() + 30
    while not plc.coil(0):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    checking.send_signal(end)
    assert checking.wait(10) == 128 + end
    assert not plc.coil(0)


def test_folders_that_nobody_may_enter_are_findings(output, check, tmp_path, monkeypatch):
    closed = tmp_path / "closed"

    def stat(path: Path, **how: object) -> os.stat_result:
        if closed in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return os.stat(path, **how)  # noqa: PTH116 - what Path.stat does

    closed.mkdir()
    monkeypatch.setattr(Path, "stat", stat)
    code, text = check(
        output, journal={"path": "closed/records/journal.sqlite"}, archive={"folder": "closed/images/today"}
    )
    assert code == 1
    assert "journal.sqlite: can't be read: Permission denied" in text


def test_an_output_on_a_camera_that_is_in_use_is_left_alone(check, monkeypatch):
    def open_camera(_: object) -> None:
        raise InUseError("camera 24012345: in use by the running line (process 1)")

    monkeypatch.setattr("inspectd.camera.pylon.camera.PylonCamera.open", open_camera)
    code, text = check(
        {"kind": "camera"},
        camera={"kind": "pylon", "trigger": {"source": "free_run"}, "exposure_us": 400, "max_age_ms": 90},
    )
    assert "is on the camera that is in use: not checked" in text, text
    assert code == 0, text


def test_a_clock_service_that_does_not_answer_is_a_finding(output, check, tmp_path, monkeypatch):
    tool = tmp_path / "timedatectl"
    tool.write_text("#!/no/such/shell\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    code, text = check(output)
    assert code == 0, text
    assert "timedatectl does not answer" in text


def test_a_folder_that_plays_the_camera_and_is_missing_has_its_own_fix(output, check):
    code, text = check(output, camera={"kind": "replay", "source": "nothing/../gone", "max_age_ms": 90})
    assert code == 1
    assert "correct camera.source; a relative path starts at the folder of the config" in text
    assert "has power" not in text


def test_a_device_that_joins_two_coils_fails(output, check):
    """As when both wires are on one channel: the config can't show it."""
    level = [False]

    def answer(transaction: int, unit: int, request: bytes) -> bytes:
        function = request[0]
        if function == 5:
            level[0] = request[3] == 0xFF
        body = request
        if function in (1, 3):
            body = bytes([1, 1, level[0]]) if function == 1 else bytes([3, 2, 0, 9])
        return struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body

    server = Server(answer)
    code, text = check({**output, "port": server.port}, "--pulse")
    server.close()
    assert code == 1
    assert "its pulse also switched run permit on" in text
    assert not level[0]
