"""The control socket of a running daemon: what each verb does, who is recorded, and that a flood costs no label."""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from inspectd.cli import main
from inspectd.commands import control as verb
from tests.control.clients import STATUS, answer, connected
from tests.factories import make_toy_bundle
from tests.faults.plant import DELAY_MS, Plant

pytestmark = pytest.mark.alone

ME = pwd.getpwuid(os.getuid()).pw_name
ANSWERS = (0, 1)
"""Exit codes of `status` if the line answers: run permit is on or, where a pause of this machine dropped it, off."""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path / "plant", control={"socket": "control.sock"})
    yield plant
    if plant.daemon is not None and plant.daemon.poll() is None:
        plant.kill()


def control(plant: Plant, *arguments: str) -> int:
    return main(["control", *arguments, "--config", str(plant.config_path)])


def stand_still(plant: Plant) -> None:
    """Stop the gate for so long that a reject is not driven, so that the belt stops until somebody has looked."""
    before = plant.log_text().count("reject not driven")
    plant.hold_gate_up()
    plant.wait_for(lambda: plant.log_text().count("reject not driven") > before, "a reject that is not driven")
    plant.wait_for(lambda: '"reject_not_driven"' in plant.log_text(), "the stop")


def log(plant: Plant, event: str) -> list[dict[str, object]]:
    lines = map(json.loads, plant.log_text().splitlines())
    return [line for line in lines if line["event"] == event]


def test_a_stop_is_shown_acknowledged_and_recorded(plant, capsys):
    plant.start(until_parts=60)
    assert control(plant, "status") == 0
    assert "│ on " in capsys.readouterr().out
    stand_still(plant)
    assert control(plant, "status", "--json") == 1
    status = json.loads(capsys.readouterr().out)
    assert (status["run_permit"], status["gate"], status["stops"]) == (False, "stopped", ["reject_not_driven"])
    assert control(plant, "status") == 1
    assert "inspectd control acknowledge" in capsys.readouterr().out
    assert control(plant, "acknowledge") == 0
    assert capsys.readouterr().out.startswith("released: reject_not_driven; ")
    plant.wait_for(lambda: plant.log_text().count("run permit on") >= 2, "run permit")
    assert control(plant, "acknowledge", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"version": 1, "ok": True, "stops": []}
    plant.wait_for(lambda: control(plant, "status") == 0, "run permit in the status")
    assert plant.stop() == 0
    assert control(plant, "status") == 69
    assert "no line listens there" in capsys.readouterr().err
    (stop,) = plant._query("SELECT * FROM stops")
    assert stop["reason"] == "reject_not_driven"
    assert [stop[f"acknowledged_{column}"] for column in ("by", "uid", "pid")] == [ME, os.getuid(), os.getpid()]
    assert stop["duration_ns"] > 0
    lines = [[line[key] for key in ("stops", "user", "uid", "pid")] for line in log(plant, "acknowledged")]
    assert lines == [[stops, ME, os.getuid(), os.getpid()] for stops in (["reject_not_driven"], [])]
    plant.assert_books_balance()


def test_each_of_two_stops_is_shown_acknowledged_and_recorded(plant, capsys):
    plant.config["gate"] |= {"stop_after_rejects": 1, "confirmation": {"within_ms": 20}}
    plant.config["gate"]["output"]["confirms"] = False
    plant.start()
    plant.wait_for(lambda: {"too_many_rejects", "reject_unconfirmed"} <= stops_of(plant, capsys), "both stops")
    assert control(plant, "status") == 1
    out = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "too_many_rejects: Look at the print head" in out
    assert "reject_unconfirmed: The plant did not confirm a reject." in out
    assert "inspectd control acknowledge reject_unconfirmed too_many_rejects" in out
    assert control(plant, "acknowledge") == 1
    assert "there are 2 stops (reject_unconfirmed, too_many_rejects): name those" in capsys.readouterr().err
    assert control(plant, "acknowledge", "too_many_reject") == 1
    assert "too_many_rejects" in capsys.readouterr().err
    assert control(plant, "acknowledge", "reject_unconfirmed", "reject_not_driven") == 0
    assert capsys.readouterr().out.startswith("released: reject_unconfirmed; ")
    assert "too_many_rejects" in stops_of(plant, capsys)
    assert plant.stop() == 0
    stops = [(stop["reason"], stop["acknowledged_by"]) for stop in plant._query("SELECT * FROM stops ORDER BY id")]
    assert sorted(stops[:2]) == [("reject_unconfirmed", ME), ("too_many_rejects", None)]


def stops_of(plant: Plant, capsys: pytest.CaptureFixture[str]) -> set[str]:
    control(plant, "status", "--json")
    return set(json.loads(capsys.readouterr().out)["stops"])


def test_a_reload_waits_for_the_engine_and_says_what_became_of_it(plant, capsys):
    plant.start(until_parts=30)
    stand_still(plant)
    make_toy_bundle(plant.folder / "next", name="next", version="1.2.3")
    plant.config_path.write_text(yaml.safe_dump(plant.config | {"engine": "next", "watchdog": {"stall_ms": 900}}))
    assert control(plant, "reload") == 0
    out = capsys.readouterr().out
    assert "engine next 1.2.3 judges from the next label on" in out
    assert "take effect at the next restart: watchdog" in out
    plant.wait_for(lambda: log(plant, "engine in use") != [], "the new engine")
    assert control(plant, "reload") == 1
    assert "the last reload has just ended; ask again in " in capsys.readouterr().err
    plant.config_path.write_text(yaml.safe_dump(plant.config | {"gait": {}}))
    plant.daemon.send_signal(signal.SIGHUP)
    plant.wait_for(lambda: len(log(plant, "reload refused: the line goes on with its old engine")) == 1, "the refusal")
    assert plant.stop() == 0
    assert {row["name"] for row in plant._query("SELECT name FROM engines")} == {"toy", "next"}
    assert [line["user"] for line in log(plant, "reload asked for")] == [ME, "SIGHUP"]
    stops = [row["acknowledged_by"] for row in plant._query("SELECT acknowledged_by FROM stops")]
    assert stops == ["SIGHUP"], "nobody was shown the stop by a reload over the socket"


def test_a_refused_reload_is_exit_code_1_and_one_line(plant, capsys):
    plant.start()
    plant.config_path.write_text(yaml.safe_dump(plant.config | {"engine": "gone"}))
    assert control(plant, "reload") == 1
    told = capsys.readouterr().err
    assert told.startswith("inspectd: the line goes on with its old engine: ")
    assert str(plant.folder / "gone") in told


def test_a_stop_of_the_service_does_not_wait_for_clients(plant):
    plant.start()
    clients = [connected(plant.folder / "control.sock") for _ in range(3)]
    clients[0].sendall(STATUS[:-1])
    begin_s = time.monotonic()
    assert plant.stop() == 0
    assert time.monotonic() - begin_s < 5
    assert not (plant.folder / "control.sock").exists()
    for client in clients:
        assert answer(client) is None
        client.close()


def test_after_a_crash_the_next_line_takes_the_socket_over(plant, capsys):
    plant.start()
    plant.kill()
    assert (plant.folder / "control.sock").exists()
    assert control(plant, "status") == 69
    plant.start()
    assert control(plant, "status", "--json") in ANSWERS
    assert plant.stop() == 0


def test_a_second_line_on_the_same_socket_is_refused(plant, tmp_path):
    plant.start()
    other = Plant(tmp_path / "other", images=1, control={"socket": str(plant.folder / "control.sock")})
    assert other.run_to_exit() == 75
    assert "in use by the running line" in other.log_text()
    assert control(plant, "status") in ANSWERS
    assert plant.stop() == 0


def test_without_the_section_there_is_no_socket(plant, capsys):
    del plant.config["control"]
    plant.config_path.write_text(yaml.safe_dump(plant.config))
    assert control(plant, "status") == 78
    assert "control: missing; add 'control: {socket:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "without an answer"),
        (b"hello\n", "does not answer like a line"),
        (b"[1]\n", "does not answer like a line"),
    ],
)
def test_another_program_behind_the_socket_is_no_line(tmp_path, capsys, said, words):
    path = tmp_path / "s"
    script = (
        "import socket, sys\n"
        "server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(); print(flush=True)\n"
        f"client, _ = server.accept(); client.recv(100); client.sendall({said!r})"
    )
    with subprocess.Popen([sys.executable, "-Ic", script, str(path)], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert main(["control", "acknowledge", "--socket", str(path)]) == 69
    assert words in capsys.readouterr().err


def test_each_verb_has_a_help_and_shows_its_answer():
    assert set(verb._HELP) == set(verb._SHOW)


_FLOOD = """
import os, random, socket, sys, threading, time
path, end_s = sys.argv[1], time.monotonic() + float(sys.argv[2])
random.seed(int(sys.argv[3]))
LINES = [b'{"version": 1, "verb": "status"}\\n', b'{"version": 1, "verb": "acknowledge"}\\n', b'{"version": 1, "verb": "reload"}\\n',
    b"x" * (1 << 20), b"\\0" * 5000 + b"\\n", b"\\xff\\xfe\\n", b"[" * 4000 + b"\\n", b'{"version": 1, "ver', b"\\n" * 4000,
    b'{"version": 1, "verb": "expect", "fields": {"lot": "A"}}\\n', b'{"version": 1, "verb": "expect", "fields": {"lot"',
    b'{"version": 2, "verb": "status"}\\n', b'{"version": 1, "verb": "status", "verb": "reload"}\\n', b""]
kept = []
while time.monotonic() < end_s:
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(0.01)
    try:
        channel.connect(path)
        channel.send(random.choice(LINES))
        if random.random() < 0.3:
            channel.recv(100)
    except OSError:
        pass
    kept.append(channel)
    if len(kept) > 900:
        kept.pop(random.randrange(len(kept))).close()
"""


def test_a_flood_costs_no_label(plant):
    """Hundreds of clients at a time send good and bad requests, hang, or go. The plant's record says what became of the labels."""
    plant.config["camera"]["rate_hz"] = 25
    plant.start(until_parts=50)
    begin = plant.rows()[-1]["id"]
    command = ["nice", "-n", "19", sys.executable, "-Ic", _FLOOD, str(plant.folder / "control.sock"), "3"]
    flood = [subprocess.Popen([*command, str(seed)]) for seed in range(2)]
    assert [each.wait(timeout=60) for each in flood] == [0, 0]
    assert control(plant, "status") in ANSWERS
    assert plant.stop() == 0
    during = [row for row in plant.rows() if row["id"] > begin]
    assert len(during) > 50
    # a busy machine may hold a few labels back; a line that waits for clients would be late for most of them
    too_late = [
        row["id"]
        for row in during
        if row["verdict_us"] > DELAY_MS * 1000 or row["reason"] in ("overrun", "stale_frame")
    ]
    assert len(too_late) < len(during) / 4, too_late
    plant.assert_no_bad_label_passed()
    plant.assert_books_balance()
    assert "no progress" not in plant.log_text()
    assert log(plant, "acknowledged"), "the flood has reached the line"
