"""The unit under a real systemd: start, stop, reload, watchdog, crash, and what the hardening leaves."""

import re

import pytest

from tests.factories import make_toy_bundle
from tests.system.container import Container, wait_until
from tests.system.hanging import WHITE, make_hanging_bundle
from tests.system.line import DELAY_MS, SOCKET, UNIT, Line

pytestmark = pytest.mark.system

PAGE = "inspectd-web.service"
METRICS, MQTT = "inspectd-metrics.service", "inspectd-mqtt.service"
PULL = "inspectd-pull.service"
EMULATED_CAMERA = {
    "kind": "pylon",
    "emulated": {"images": "/srv/line/images"},
    "trigger": {"source": "software", "rate_hz": 20},
    "max_age_ms": 500,
}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_runs_hardened_as_its_own_user(line: Line, container: Container, backend: str) -> None:
    line.configure(camera=EMULATED_CAMERA, inference={"backend": backend})
    pid = line.start()
    assert line.state("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    user = container.run("id", "-u", "inspectd").strip()
    assert user != "0"
    for process in (pid, line.gate_pid):
        status = line.process(process, "status")
        assert status["Uid"].split() == [user] * 4
        assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == (
            "0" * 16,
            "0" * 16,
            "1",
            "2",
        )
    assert "Read-only file system" in container.run("sh", "-c", f"nsenter -t {pid} -m touch /etc/x /usr/x 2>&1; true")
    line.wait_for_parts()
    status_text = wait_until(
        lambda: re.match(r"[1-9]\d* parts/min, ", line.state("StatusText")["StatusText"]), "a rate"
    )
    assert status_text
    assert container.run("find", "/var/lib/inspectd", "!", "-user", "inspectd") == ""


@pytest.mark.parametrize(("unit", "most"), [(UNIT, 2.0), (PAGE, 1.5), (METRICS, 1.5), (MQTT, 1.5), (PULL, 1.5)])
def test_exposure_is_low(line: Line, container: Container, unit: str, most: float) -> None:
    told = container.run("systemd-analyze", "security", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert exposure, told
    print(exposure[0])
    assert float(exposure[1]) <= most, told


def test_the_gate_is_real_time_where_the_machine_allows_it(line: Line, container: Container) -> None:
    line.start()
    gate = line.gate_pid
    limit = re.search(r"Max realtime priority +(\d+)", container.run("cat", f"/proc/{gate}/limits"))
    assert limit
    scheduling = container.run("chrt", "--pid", str(gate))
    print(f"the gate's RLIMIT_RTPRIO is {limit[1]}; {scheduling}")
    if int(limit[1]) >= 50:
        assert "SCHED_FIFO" in scheduling
    else:  # this container may not raise the limit, and the gate must say what follows
        line.wait_for_log("no real-time priority")


def test_the_page_reads_the_line_as_a_user_of_its_own(line: Line, container: Container) -> None:
    line.start()
    container.run("sh", "-c", "echo correct horse battery | inspectd users add anna --role admin --password-stdin")
    container.run("systemctl", "start", PAGE)
    page = int(container.state(PAGE, "MainPID")["MainPID"])
    user, group = (container.run("id", "-u", name).strip() for name in ("inspectd-web", "inspectd"))
    status = line.process(page, "status")
    assert (status["Uid"].split(), status["CapBnd"], status["NoNewPrivs"]) == ([user] * 4, "0" * 16, "1")
    assert 'name="password"' in container.run("python3", "-c", _GET, "http://127.0.0.1:8440/login")

    line.wait_for_parts()
    inside = ("nsenter", "-t", str(page), "-m", "setpriv", "--reuid", user, "--regid", user, "--groups", group)
    journal = "/var/lib/inspectd/journal.sqlite"
    assert int(container.run(*inside, "/opt/inspectd/venv/bin/python", "-c", _COUNT, journal)) >= 10
    own, others = (
        "/var/lib/inspectd-web/x",
        (journal, "/etc/inspectd/engines/x", "/etc/inspectd/web.yaml", "/opt/inspectd/x"),
    )
    assert container.run(*inside, "sh", "-c", _WRITABLE, "sh", own, *others, check=False) == f"{own}\n"
    secrets = (f"/var/lib/inspectd-web/{name}" for name in ("accounts.sqlite", "audit.sqlite", "audit.head"))
    as_line = ("runuser", "-u", "inspectd", "--", "sh", "-c", 'for each; do cat "$each" && echo read; done', "sh")
    assert container.run(*as_line, *secrets, check=False) == ""
    container.run("systemctl", "stop", PAGE)
    assert container.state(PAGE, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}


def test_the_bridges_read_the_line_as_users_of_their_own(line: Line, container: Container) -> None:
    line.start()
    local = "line: /etc/inspectd/line.yaml\\nbroker: {host: 127.0.0.1}\\n"
    container.run("sh", "-c", f"printf '{local}' > /etc/inspectd/mqtt.yaml")  # there is no broker
    for unit in (METRICS, MQTT):
        container.run("systemctl", "start", unit)
        process = int(container.state(unit, "MainPID")["MainPID"])
        name = unit.removesuffix(".service")
        user, group = (container.run("id", "-u", each).strip() for each in (name, "inspectd"))
        status = line.process(process, "status")
        assert (status["Uid"].split(), status["CapBnd"], status["NoNewPrivs"]) == ([user] * 4, "0" * 16, "1")
        inside = ("nsenter", "-t", str(process), "-m", "setpriv", "--reuid", user, "--regid", user, "--groups", group)
        own, others = f"/var/lib/{name}/x", ("/var/lib/inspectd/journal.sqlite", "/etc/inspectd/mqtt.yaml")
        assert container.run(*inside, "sh", "-c", _WRITABLE, "sh", own, *others, check=False) == f"{own}\n"
    wanted = {"inspectd_line_up 1.0", "inspectd_run_permit 1.0", "inspectd_line_answers 1.0"}
    url = "http://127.0.0.1:9440/metrics"
    wait_until(lambda: wanted <= set(container.run("python3", "-c", _GET, url).splitlines()), "metrics of the line")
    wait_until(lambda: "Connection refused" in container.state(MQTT, "StatusText")["StatusText"], "a status")
    assert "number" in container.run("cat", "/var/lib/inspectd-mqtt/place.json")
    for unit in (METRICS, MQTT):
        container.run("systemctl", "stop", unit)
        assert container.state(unit, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}


_GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
_WRITABLE = 'for each; do touch "$each" && echo "$each"; done'
_COUNT = (
    "import sys; from pathlib import Path; from inspectd.records.reading import open_for_reading\n"
    "print(open_for_reading(Path(sys.argv[1])).execute('SELECT count(*) FROM parts').fetchone()[0])"
)


def test_a_pull_puts_an_engine_on_the_line_as_a_user_of_its_own(line: Line, container: Container) -> None:
    links, repository, keys = "/etc/inspectd/engines", "/srv/line/repository", "/srv/line/keys"
    container.path(f"{links}/toy").symlink_to("/srv/line/toy")
    line.configure(engine=f"{links}/toy")
    make_toy_bundle(line.bundle("next"), version="1.1.0")
    container.run("inspectd", "repository", "init", repository, "--keys", keys)
    container.run("inspectd", "repository", "publish", repository, "/srv/line/next", "--keys", keys)
    container.run("inspectd", "repository", "assign", repository, "toy-1.1.0", "--keys", keys)
    container.run("install", "-m", "644", f"{keys}/root.json", "/etc/inspectd/root.json")
    container.run("sed", "-i", "s|^url: .*|url: http://127.0.0.1:8000|", "/etc/inspectd/pull.yaml")
    web_server = ("python3", "-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", repository)
    container.run("systemd-run", "--unit=repository", *web_server)
    try:
        line.start()
        wait_until(lambda: container.run("python3", "-c", _GET, "http://127.0.0.1:8000", check=False), "the web server")
        container.run("systemctl", "start", PULL, check=False)
        assert container.state(PULL, "ExecMainStatus") == {"ExecMainStatus": "78"}
        assert "may not switch the links" in container.run("journalctl", "-u", PULL, "-o", "cat")

        container.run("chgrp", "inspectd-pull", links)
        container.run("chmod", "775", links)
        container.run("systemctl", "start", PULL, check=False)
        assert container.state(PULL, "Result") == {"Result": "success"}, container.run(
            "journalctl", "-u", PULL, "-o", "cat"
        )
        line.wait_for_log("engine in use")
        fetched = "/var/lib/inspectd-pull/engines/toy-1.1.0"
        assert container.run("readlink", f"{links}/toy").strip() == fetched
        assert container.run("stat", "-c", "%U:%G %a", f"{fetched}/engine.yaml").split() == [
            "inspectd-pull:inspectd",
            "640",
        ]
        assert container.run("runuser", "-u", "nobody", "--", "cat", "/var/lib/inspectd-pull/last.json")
        assert container.run("runuser", "-u", "nobody", "--", "cat", f"{fetched}/engine.yaml", check=False) == ""
        container.run("systemctl", "start", "inspectd-pull.timer")
        assert container.state("inspectd-pull.timer", "ActiveState") == {"ActiveState": "active"}
        line.wait_for_parts()
        line.systemctl("restart")
        line.wait_for_parts()
    finally:
        container.run("systemctl", "stop", "repository", "inspectd-pull.timer", check=False)
        container.run(
            "sh", "-c", f"rm -rf {links}/toy* /var/lib/inspectd-pull/*; chgrp root {links}; chmod 755 {links}"
        )


def test_stop_finishes_what_is_in_flight(line: Line) -> None:
    line.start()
    line.wait_for_parts()
    line.systemctl("stop")
    assert line.state("ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
    }
    assert line.query("SELECT count(*) FROM sessions WHERE ended_utc_ns IS NULL")[0][0] == 0
    assert line.query("SELECT count(*) FROM outages")[0][0] == 0
    outcomes = {row[0] for row in line.query("SELECT DISTINCT gate_outcome FROM parts")}
    assert outcomes <= {"passed", "rejected", "rejected_stopped", "rejected_late"}
    assert not line.output()[-1]["run_permit"]
    assert not line.output()[-1]["actuator"]


def test_reload_swaps_the_engine_between_two_parts(line: Line) -> None:
    pid = line.start()
    line.wait_for_parts()
    make_toy_bundle(line.bundle("next"), name="next")
    line.configure(engine="/srv/line/next")
    line.systemctl("reload")
    line.wait_for_log("engine in use")
    line.wait_for_parts()
    assert line.pid == pid
    line.systemctl("stop")
    rows = line.query(
        "SELECT parts.id, frame_number, engines.name FROM parts JOIN engines ON engine = engines.id ORDER BY 1"
    )
    assert {row["name"] for row in rows} == {"toy", "next"}
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert len({row["frame_number"] - row["id"] for row in rows}) == 1


def test_the_group_may_control_the_line_and_the_records_say_who_did(line: Line, container: Container) -> None:
    container.run("useradd", "--groups", "inspectd", "anna", check=False)
    container.run("useradd", "ben", check=False)
    output = {"kind": "simulated", "record": "/var/lib/inspectd/output.jsonl"}
    line.configure(
        gate={
            "wiring": "pulse_to_reject",
            "delay_ms": DELAY_MS,
            "width_ms": 20,
            "max_lateness_ms": 200,
            "stop_after_rejects": 1,
            "output": output,
        }
    )

    def control(user: str, *arguments: str) -> str:
        """What the command prints, and its exit code."""
        command = ["inspectd", "control", *arguments]
        return container.run("runuser", "-u", user, "--", "sh", "-c", '"$@" 2>&1; echo " exit code $?"', "sh", *command)

    line.start()
    assert container.run("stat", "-c", "%A %U %G", SOCKET).split() == ["srw-rw----", "inspectd", "inspectd"]
    line.wait_for_log("too_many_rejects")
    status = control("anna", "status", "--config", "/etc/inspectd/line.yaml")
    assert "OFF: stopped" in status
    assert "too_many_rejects: Look at the print head" in status
    refused = control("ben", "acknowledge", "--socket", SOCKET)
    assert "this user may not use it" in refused
    assert "exit code 69" in refused
    assert "released: too_many_rejects" in control("anna", "acknowledge", "--socket", SOCKET)
    assert "exit code 0" in control("root", "reload", "--socket", SOCKET)
    line.systemctl("stop")
    assert not container.path(SOCKET).parent.exists()
    stops = line.query("SELECT acknowledged_by, acknowledged_uid FROM stops ORDER BY id")
    anna = int(container.run("id", "-u", "anna"))
    assert tuple(stops[0]) == ("anna", anna)


@pytest.mark.parametrize("damage", ["unknown key", "flipped byte"])
def test_a_bad_reload_leaves_everything_as_it_was(line: Line, damage: str) -> None:
    pid = line.start()
    if damage == "unknown key":
        line.configure(gait={})
    else:
        model = make_toy_bundle(line.bundle("next"), name="next") / "model.onnx"
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
        line.configure(engine="/srv/line/next")
    line.systemctl("reload")
    line.wait_for_log("reload refused")
    assert "reload refused" in line.log("--priority=err")
    line.wait_for_parts()
    assert line.pid == pid
    assert {row[0] for row in line.query("SELECT name FROM engines")} == {"toy"}
    wait_until(lambda: line.state("ActiveState")["ActiveState"] == "active", "the end of reloading")


@pytest.mark.parametrize("damage", ["unknown key", "no such engine"])
def test_a_bad_config_ends_with_78_and_is_not_tried_again(line: Line, container: Container, damage: str) -> None:
    line.configure(**({"gait": {}} if damage == "unknown key" else {"engine": "/srv/line/nowhere"}))
    line.systemctl("start", check=False)
    wait_until(lambda: line.state("ActiveState")["ActiveState"] == "failed", "the unit to fail")
    container.run("sleep", "3")
    assert line.state("ActiveState", "Result", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "78",
        "NRestarts": "0",
    }
    assert ("gait" if damage == "unknown key" else "/srv/line/nowhere") in line.log()


def test_a_killed_line_is_back_and_says_what_it_did_not_see(line: Line) -> None:
    """The gate lives longer: run permit drops at once, and what was in flight is rejected at its due time."""
    pid = line.start()
    line.wait_for_parts()
    last_before = line.query("SELECT max(id) FROM parts")[0][0]
    line.kill(pid, "KILL")
    wait_until(lambda: line.pid not in {0, pid} and line.state("ActiveState")["ActiveState"] == "active", "the restart")
    line.wait_for_parts()
    assert line.state("NRestarts")["NRestarts"] == "1"

    log = line.log()
    assert "the line is gone: run permit off, everything in flight is rejected" in log
    assert "SIGKILL" not in re.sub(r"(status=9/KILL|.*Main process exited.*)", "", log)
    (unseen,) = line.query("SELECT * FROM outages WHERE kind = 'unseen'")
    before, after = line.query(
        "SELECT min(t_utc_ns) t_first, max(t_utc_ns) t_last FROM parts GROUP BY session ORDER BY session"
    )
    assert before["t_last"] <= unseen["t_from_utc_ns"] <= unseen["t_to_utc_ns"] <= after["t_first"]

    events = line.output()
    begin = next(
        place for place, event in enumerate(events) if event["t_utc_ns"] > before["t_last"] and not event["run_permit"]
    )
    dying = [event for event in events[begin:] if event["t_utc_ns"] < unseen["t_to_utc_ns"]]
    assert not any(event["run_permit"] for event in dying)
    t_last_pulse = max(event["t_utc_ns"] for event in dying if event["actuator"])
    assert t_last_pulse - before["t_last"] > DELAY_MS * 1e6 / 2
    assert last_before


def test_a_hung_worker_is_killed_by_the_watchdog_and_the_line_is_back(line: Line) -> None:
    make_hanging_bundle(line.bundle("hanging"))
    line.add_images([WHITE])
    line.configure(engine="/srv/line/hanging")
    line.start()
    line.wait_for_log("no progress")
    (line.bundle("images") / "0040.png").unlink()
    wait_until(lambda: not line.output()[-1]["run_permit"], "run permit to fall")
    line.wait_for_log("Watchdog timeout")
    wait_until(
        lambda: line.state("NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"}, "the restart"
    )
    line.wait_for_parts()

    log = line.log()
    assert "Fatal Python error: Aborted" in log
    assert 'inference/onnxruntime.py", line' in log, "the stack of the worker says where it hung"
    assert "the line is gone: run permit off, everything in flight is rejected" in log, "the gate has outlived it"
    (unseen,) = line.query("SELECT t_from_utc_ns, t_to_utc_ns FROM outages WHERE kind = 'unseen'")
    first, second = line.query(
        "SELECT max(t_utc_ns) t_last, min(t_utc_ns) t_first FROM parts GROUP BY session ORDER BY session"
    )
    assert first["t_last"] <= unseen["t_from_utc_ns"] < unseen["t_to_utc_ns"] <= second["t_first"]
    passed_while_hung = line.query(
        f"SELECT id FROM parts WHERE verdict = 'pass' AND t_utc_ns BETWEEN {unseen['t_from_utc_ns'] + 1} AND {unseen['t_to_utc_ns']}"
    )
    assert passed_while_hung == []


def test_a_frozen_process_is_killed_by_the_watchdog(line: Line) -> None:
    pid = line.start()
    line.wait_for_parts()
    line.kill(pid, "STOP")
    wait_until(lambda: not line.output()[-1]["run_permit"], "the gate to drop run permit")
    line.wait_for_log("Watchdog timeout")
    wait_until(
        lambda: line.state("NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"}, "the restart"
    )
    line.wait_for_parts()
    assert len(line.query("SELECT id FROM outages WHERE kind = 'unseen'")) == 1
