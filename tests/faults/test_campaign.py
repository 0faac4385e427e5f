"""The fault campaign: break one part of a running line and look where the labels went.

For each fault: no bad label passed, every part is accounted for, and the service is back or has said in one line why not.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import yaml

from inspectd.control.client import ask
from inspectd_tools.plc.modbus_plc import ModbusPlc
from tests.faults.plant import Plant

pytestmark = pytest.mark.faults

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")


@pytest.fixture
def plant(tmp_path):
    plant = Plant(tmp_path)
    yield plant
    if plant.daemon is not None and plant.daemon.poll() is None:
        plant.kill()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 16 MB at `tmp_path/small`."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def settle(plant: Plant) -> None:
    """What is in flight reaches the gate, and its outcomes the journal."""
    assert plant.stop() == 0, plant.log_text()[-3000:]
    plant.assert_no_bad_label_passed()
    plant.assert_books_balance()


def test_nothing_broken(plant):
    plant.start(until_parts=100)
    settle(plant)
    assert set(plant.outcomes()) == {"passed", "rejected"} or plant.sought()
    assert plant.outages() == []


def test_line_killed_at_50_random_moments(plant):
    random_moments = random.Random(20261124)
    for _ in range(50):
        plant.start()
        time.sleep(random_moments.uniform(0, 0.5))
        plant.kill()
    plant.start(until_parts=20)
    settle(plant)
    with sqlite3.connect(plant.journal) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    unseen = [outage for outage in plant.outages() if outage.kind == "unseen"]
    assert len(unseen) == 50
    times = [row["t_utc_ns"] for row in plant.rows()]
    for outage in unseen:
        assert not any(outage.t_from_utc_ns < t_ns < outage.t_to_utc_ns for t_ns in times)


def test_gate_killed(plant):
    """At five moments. Only the gate knows the labels that are already on their way to the rejector."""
    for moment_s in random.Random(7).choices(range(5, 60, 5), k=5):
        plant.start(until_parts=20)
        time.sleep(moment_s / 1000)
        os.kill(plant.gate_pid(), signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        assert plant.daemon.wait(timeout=30) == 70
        assert "the gate is gone" in plant.log_text()
        last = plant.last_signals()
        assert not last["run_permit"]
        assert last["t_ns"] - killed_ns < 500_000_000
    plant.start(until_parts=20)
    settle(plant)


def test_gate_that_stands_still(plant):
    """For so long that a pulse is too late: the belt stops, the label is named, and a reload by the operator goes on."""
    plant.start(until_parts=60)
    plant.hold_gate_up()
    plant.wait_for(lambda: "reject_not_driven" in plant.log_text(), "the stop of the belt")
    assert not plant.last_signals()["run_permit"]
    plant.daemon.send_signal(signal.SIGHUP)
    plant.wait_for(lambda: plant.log_text().count("run permit on") == 2, "run permit after the reload")
    before = plant.outcomes().count("passed")
    plant.wait_for(lambda: plant.outcomes().count("passed") > before + 30, "labels that pass again")
    settle(plant)
    not_driven = {row["id"] for row in plant.rows() if row["gate_outcome"] == "not_driven"}
    assert not_driven
    assert not_driven == plant.sought()


def test_journal_locked_by_another_process(plant):
    plant.start(until_parts=30)
    other = sqlite3.connect(plant.journal, isolation_level=None, timeout=5)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(1)
    other.execute("ROLLBACK")
    other.close()
    before = len(plant.rows())
    plant.wait_for(lambda: len(plant.rows()) > before + 30, "parts after the lock")
    settle(plant)
    (outage,) = [outage for outage in plant.outages() if outage.kind == "record_error"]
    assert outage.parts > 10


@pytest.mark.parametrize("harm", ["deleted", "moved", "folder moved", "replaced"])
def test_journal_gone_while_the_line_runs(plant, harm):
    """Labels must not pass while their rows go to a file that nobody can open."""
    plant.start(until_parts=60)
    folder = plant.journal.parent
    match harm:
        case "deleted":
            plant.journal.unlink()
        case "moved":
            plant.journal.rename(folder / "old.sqlite")
        case "folder moved":
            folder.rename(folder.with_name("elsewhere"))
        case "replaced":
            shutil.copy(plant.journal, folder / "copy")
            (folder / "copy").replace(plant.journal)
    gone_ns = time.monotonic_ns()
    assert plant.daemon.wait(timeout=20) == 74
    assert "while the line runs" in plant.log_text()
    last = plant.last_signals()
    assert not last["run_permit"]
    assert last["t_ns"] - gone_ns < 3_000_000_000
    changes = [json.loads(line) for line in plant.record.read_text().splitlines()]
    assert not any(each["run_permit"] for each in changes if each["t_ns"] > gone_ns + 2_000_000_000)


def test_a_second_line_on_the_same_journal(plant):
    """It refuses to start, and no row of the first one changes."""
    plant.start(until_parts=30)
    config = {
        **plant.config,
        "gate": {**plant.config["gate"], "output": {"kind": "simulated", "record": "second.jsonl"}},
    }
    (plant.folder / "link.sqlite").symlink_to(plant.journal)
    config["journal"] = {"path": "link.sqlite"}
    second = plant.folder / "second.yaml"
    second.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "inspectd", "run", "--config", str(second)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 75
    assert f"process {plant.daemon.pid}" in done.stderr
    settle(plant)
    assert plant.outages() == []
    assert {row["session"] for row in plant.rows()} == {1}


def test_a_report_that_nobody_reads_on(plant):
    """`inspectd report --csv` into a stalled pipe, while the line runs."""
    plant.start(until_parts=100)
    command = [sys.executable, "-m", "inspectd", "report", "--journal", str(plant.journal), "--csv", "--last", "1d"]
    report = subprocess.Popen(command, stdout=subprocess.PIPE)
    time.sleep(6)
    report.kill()
    report.wait()
    settle(plant)
    assert plant.outages() == []


@needs_root
def test_journal_disk_full_and_free_again(tmp_path, small_disk):
    plant = Plant(tmp_path / "plant", journal={"path": str(small_disk / "journal.sqlite")})
    plant.journal = small_disk / "journal.sqlite"
    plant.start(until_parts=30)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    plant.wait_for(lambda: "can't be recorded" in plant.log_text(), "the journal's complaint")
    time.sleep(0.5)
    ballast.unlink()
    before = len(plant.rows())
    plant.wait_for(lambda: len(plant.rows()) > before + 30, "parts on the freed disk")
    settle(plant)
    assert sum(outage.parts for outage in plant.outages() if outage.kind == "record_error") > 0


@needs_root
def test_archive_disk_full(tmp_path, small_disk):
    (small_disk / "ballast").write_bytes(b"x" * (16 * 1024 * 1024 - 16384))
    plant = Plant(tmp_path / "plant", archive={"folder": str(small_disk / "archive"), "every_nth_pass": 1})
    plant.start(until_parts=150)
    settle(plant)
    assert "image can't be stored" in plant.log_text()
    assert plant.outages() == []


def test_modbus_server_gone_and_back(tmp_path):
    server = ModbusPlc(tmp_path / "coils.csv")
    server.start()
    plant = Plant(tmp_path / "plant")
    plant.config["gate"]["output"] = {
        "kind": "modbus",
        "host": "127.0.0.1",
        "port": server.port,
        "actuator_coil": 0,
        "run_permit_coil": 1,
        "heartbeat_register": 2,
    }
    plant.config["gate"]["max_lateness_ms"] = 500
    try:
        plant.start(until_parts=30)
        server.stop()
        gone_ns = time.monotonic_ns()
        plant.wait_for(lambda: "output failed" in plant.log_text(), "the gate's complaint")
        time.sleep(0.5)
        server.start()
        plant.wait_for(lambda: "output works again" in plant.log_text(), "the gate's recovery")
        back_ns = time.monotonic_ns()
        before = len(plant.rows())
        plant.wait_for(lambda: len(plant.rows()) > before + 30, "parts after the server is back")
        assert plant.stop() == 0
    finally:
        server.stop()
    plant.assert_books_balance()
    not_driven = [row for row in plant.rows() if row["gate_outcome"] == "not_driven"]
    assert not_driven, "bad labels came while the output was gone; the journal must name them"
    for row in not_driven:
        assert gone_ns - 200_000_000 < row["t_mono_ns"] + 120_000_000 < back_ns + 200_000_000
    assert [outage.kind for outage in plant.outages()] == ["output"]
    for row in plant.rows():
        due_ns = row["t_mono_ns"] + 120_000_000
        if row["gate_outcome"] == "rejected":
            assert any(level and due_ns <= t_ns < due_ns + 60_000_000 for t_ns, level in server.writes(0)) or any(
                t_ns < due_ns for t_ns, level in server.writes(0) if level
            )


@pytest.mark.parametrize("end", [Plant.kill, Plant.stop])
def test_a_restart_does_not_end_a_stop_that_nobody_has_acknowledged(tmp_path, end):
    with ModbusPlc(tmp_path / "coils.csv") as server:
        plant = Plant(tmp_path / "plant", control={"socket": str(tmp_path / "control.sock")})
        plant.config["gate"]["output"] = {
            "kind": "modbus",
            "host": "127.0.0.1",
            "port": server.port,
            "actuator_coil": 0,
            "run_permit_coil": 1,
            "heartbeat_register": 2,
        }
        plant.config["gate"]["stop_after_rejects"] = 1
        socket = Path(plant.config["control"]["socket"])
        try:
            plant.start()
            plant.wait_for(lambda: ask(socket, "status")["stops"] == ["too_many_rejects"], "the stop")
            for _ in range(2):
                end(plant)
                ended_ns = time.monotonic_ns()
                plant.start(until_parts=30)
                assert ask(socket, "status")["stops"] == ["too_many_rejects"]
                assert not any(on for t_ns, on in server.writes(1) if t_ns > ended_ns)
            assert ask(socket, "acknowledge")["stops"] == ["too_many_rejects"]
            plant.wait_for(lambda: any(on for t_ns, on in server.writes(1) if t_ns > ended_ns), "run permit")
        finally:
            if plant.daemon is not None and plant.daemon.poll() is None:
                plant.kill()


@pytest.mark.parametrize("file", ["openvino/model.bin", "openvino/model.xml", "golden/no_fail.png", "engine.yaml"])
def test_one_flipped_byte_in_the_engine(plant, file):
    path = plant.engine / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)
    assert plant.run_to_exit() == 78
    assert file in plant.log_text()
    changes = [json.loads(line) for line in plant.record.read_text().splitlines()]
    assert changes, "the output is made safe before anything else"
    assert not any(change["run_permit"] or change["actuator"] for change in changes)


def test_golden_scores_that_the_engine_does_not_give(plant):
    from inspectd.inference.sealed import seal

    path = plant.engine / "engine.yaml"
    values = yaml.safe_load(path.read_text())
    values["golden"][0]["scores"][0] -= 0.5
    path.write_bytes(seal(yaml.safe_dump(values, sort_keys=False).encode()))
    assert plant.run_to_exit() == 78
    assert "training recorded" in plant.log_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gate": {"delay_ms": -1}}, ["gate.delay_ms", "-1", "greater than 0"]),
        ({"gate": {"wiring": "backwards"}}, ["gate.wiring", "backwards", "pulse_to_reject"]),
        ({"gate": {"dellay_ms": 5}}, ["gate.dellay_ms", "delay_ms"]),
        ({"camera": {"kind": "polaroid"}}, ["camera", "polaroid", "pylon"]),
        ({"camera": {"max_age_ms": 5000}}, ["camera.max_age_ms", "gate.delay_ms"]),
        ({"journal": None}, ["journal"]),
        ({"engine": "nowhere"}, ["nowhere", "engine.yaml"]),
    ],
)
def test_bad_config(plant, change, words):
    for key, value in change.items():
        if isinstance(value, dict):
            plant.config[key] |= value
        else:
            plant.config[key] = value
    assert plant.run_to_exit() == 78
    for word in words:
        assert word in plant.log_text()


def test_reload_with_a_bad_engine_keeps_the_old_one(plant):
    plant.start(until_parts=30)
    bad = plant.folder / "bad"
    shutil.copytree(plant.engine, bad)
    (bad / "openvino" / "model.bin").write_bytes(b"nothing")
    plant.config_path.write_text(yaml.safe_dump({**plant.config, "engine": "bad"}))
    plant.daemon.send_signal(signal.SIGHUP)
    plant.wait_for(lambda: "reload refused" in plant.log_text(), "the refusal")
    before = len(plant.rows())
    plant.wait_for(lambda: len(plant.rows()) > before + 20, "parts after the refusal")
    settle(plant)


def test_reload_changes_the_engine_between_two_parts(plant):
    plant.start(until_parts=30)
    make_other = {"threshold": 0.99}
    from tests.factories import make_toy_bundle

    make_toy_bundle(plant.folder / "strict", name="strict", **make_other)
    plant.config_path.write_text(yaml.safe_dump({**plant.config, "engine": "strict"}))
    plant.daemon.send_signal(signal.SIGHUP)
    plant.wait_for(lambda: '"engine": "strict"' in plant.log_text(), "the new engine")
    before = len(plant.rows())
    plant.wait_for(lambda: len(plant.rows()) > before + 30, "parts with the new engine")
    settle(plant)
    rows = plant.rows()
    assert len({row["engine"] for row in rows}) == 2
    assert [row["id"] for row in rows] == list(range(rows[0]["id"], rows[-1]["id"] + 1))
    assert "missed" not in {row["verdict"] for row in rows} or plant.sought()


def test_a_broken_image_file_is_a_bad_frame(plant):
    (plant.images / "00007.png").write_bytes(b"no image")
    plant.start(until_parts=60)
    settle(plant)
    assert plant.verdicts()[7] == "bad_frame"


def test_a_frozen_camera_inspects_nothing(plant):
    image = cv2.imread(str(plant.images / "00000.png"), cv2.IMREAD_GRAYSCALE)
    for number in range(40, 60):
        cv2.imwrite(str(plant.images / f"{number:05d}.png"), image)
    plant.start(until_parts=90)
    assert plant.stop() == 0
    assert plant.verdicts()[41:60] == ["stale_frame"] * 19


def test_camera_that_comes_late(plant):
    images = plant.images
    elsewhere = images.rename(images.with_name("elsewhere"))
    plant.config_path.write_text(yaml.safe_dump(plant.config))
    with plant.log.open("ab") as log:
        plant.daemon = subprocess.Popen(
            [sys.executable, "-m", "inspectd", "run", "--config", str(plant.config_path)], stderr=log
        )
    plant.wait_for(lambda: "camera can't be opened" in plant.log_text(), "the complaint")
    assert "run permit on" not in plant.log_text()
    elsewhere.rename(images)
    plant.wait_for(lambda: len(plant.rows()) > 50, "parts once the camera is there")
    settle(plant)
    assert [outage.kind for outage in plant.outages()] == ["camera"]
