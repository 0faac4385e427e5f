"""What arrives at a real broker, whoever is killed in the middle."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.gate.outcome import Outcome
from inspectd.part import Fault, Pass
from inspectd.serve import line_now
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.mqtt import bridge as bridge_module
from inspectd.serve.mqtt.bridge import Bridge
from inspectd.serve.mqtt.config import BrokerConfig, MqttConfig
from tests.serve.conftest import BAD, GOOD, VERDICTS, Line
from tests.serve.lines import running_line
from tests.serve.mqtt.broker import Broker, Receiver, until

TOPIC = "inspectd/printer-3"
LINE = """\
name: printer-3
engine: engine
camera: {kind: replay, source: archive, rate_hz: 10, max_age_ms: 90}
gate: {wiring: pulse_to_reject, delay_ms: 120, width_ms: 20, output: {kind: simulated, record: output.jsonl}}
journal: {path: journal.sqlite}
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def receiver(broker: Broker) -> Iterator[Receiver]:
    receiver = Receiver(broker.port)
    yield receiver
    receiver.close()


@contextmanager
def bridging(facts: LineFacts, config: MqttConfig) -> Iterator[Bridge]:
    bridge, ending = Bridge(facts, config), threading.Event()

    def run() -> None:
        while not ending.is_set():
            bridge.turn()
        bridge.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield bridge
    ending.set()
    thread.join(timeout=10)


def config_of(line: Line, broker: Broker, **more: Any) -> MqttConfig:
    return MqttConfig(
        line=line.facts.file, broker=BrokerConfig(host="127.0.0.1", port=broker.port), state=line.folder, **more
    )


def newest(messages: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What a receiver keeps: of each part, the message with the highest number."""
    kept: dict[int, dict[str, Any]] = {}
    for said in messages:
        if said["number"] >= kept.get(said["part"], said)["number"]:
            kept[said["part"]] = said
    return kept


def test_parts_stops_and_the_state_arrive(
    line: Line, broker: Broker, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_now, "EVERY_S", 0.1)
    monkeypatch.setattr(bridge_module, "_STATE_S", 0.1)
    control = line.facts.control
    assert control is not None
    with bridging(line.facts, config_of(line, broker)):
        with running_line(line.journal, control) as running:
            until(lambda: receiver.retained.get(f"{TOPIC}/state", {}).get("run_permit"))
            with running.paused():
                part = line.inspect(VERDICTS[2], None)
                until(lambda: receiver.of(f"{TOPIC}/parts"))
                line.journal.amend_outcome(part, Outcome.REJECTED, 300)
                line.journal.flush()
            running.halt("too_many_rejects")
            until(lambda: receiver.retained[f"{TOPIC}/state"]["stops"] == ["too_many_rejects"])
            until(lambda: receiver.of(f"{TOPIC}/stops"))
        until(lambda: len(receiver.of(f"{TOPIC}/parts")) == 2)
        first, second = receiver.of(f"{TOPIC}/parts")
        assert (first["version"], first["part"], first["verdict"], first["reason"]) == (1, part, "uncertain", "anomaly")
        assert first["anomaly"] == {"kind": "print", "left": 30, "top": 8, "width": 12, "height": 9, "excess": 1.7}
        assert (first["engine"], first["engine_hash"], first["gate"]) == ("toy", "ab" * 32, None)
        assert (second["gate"], second["gate_lateness_ms"]) == ("rejected", 0.3)
        assert second["journal"] == first["journal"]
        assert second["number"] > first["number"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
        assert receiver.of(f"{TOPIC}/stops")[0]["reason"] == "too_many_rejects"
        until(lambda: receiver.retained[f"{TOPIC}/state"]["run_permit"] is None)
        line.facts.journal.rename(line.folder / "gone")
        until(lambda: receiver.retained[f"{TOPIC}/state"]["line_up"] is None)
        assert "can't be read" in receiver.retained[f"{TOPIC}/state"]["problem"]
        (line.folder / "gone").rename(line.facts.journal)
    until(lambda: receiver.retained[f"{TOPIC}/state"]["bridge"] == "offline")


def started(line: Line, broker: Broker) -> subprocess.Popen[str]:
    (line.folder / "line.yaml").write_text(LINE)
    file = line.folder / "mqtt.yaml"
    file.write_text(f"line: line.yaml\nstate: state\nbroker: {{host: 127.0.0.1, port: {broker.port}}}\n")
    return subprocess.Popen([sys.executable, "-m", "inspectd", "serve", "mqtt", "--config", str(file)], text=True)


def test_every_part_arrives_whoever_is_killed_in_the_middle(line: Line, broker: Broker, receiver: Receiver) -> None:
    bridge = started(line, broker)
    try:
        until(lambda: receiver.retained)
        for part in range(1, 501):
            line.inspect(Pass(GOOD), Outcome.PASSED) if part % 2 else line.inspect(Fault(BAD))
            if part == 150:
                until(lambda: len(receiver.of(f"{TOPIC}/parts")) > 20)
                broker.kill()
            if (
                part == 250
            ):  # a broker that was killed has forgotten who subscribes: the receiver must come before the bridge
                bridge.send_signal(signal.SIGSTOP)
                receiver.subscribed = 0
                broker.start()
                until(lambda: receiver.subscribed)
                bridge.send_signal(signal.SIGCONT)
            if part == 350:
                until(lambda: len(newest(receiver.of(f"{TOPIC}/parts"))) > 250)
                bridge.kill()
                bridge.wait()
                until(lambda: receiver.retained[f"{TOPIC}/state"]["bridge"] == "offline")
                bridge = started(line, broker)
        until(lambda: len(newest(receiver.of(f"{TOPIC}/parts"))) == 500)
        until(lambda: all(said["gate"] for said in newest(receiver.of(f"{TOPIC}/parts")).values()))
        kept = newest(receiver.of(f"{TOPIC}/parts"))
        assert sorted(kept) == list(range(1, 501))
        with closing(sqlite3.connect(line.facts.journal)) as connection:
            for part, verdict, gate in connection.execute("SELECT id, verdict, gate_outcome FROM parts"):
                assert (kept[part]["verdict"], kept[part]["gate"]) == (verdict, gate)
        same: dict[tuple[str, int], dict[str, Any]] = {}
        for said in receiver.of(f"{TOPIC}/parts"):
            assert same.setdefault((said["journal"], said["number"]), said) == said, "one number, two messages"
        assert receiver.of(f"{TOPIC}/gaps") == []
        bridge.send_signal(signal.SIGTERM)
        assert bridge.wait(timeout=10) == 0
    finally:
        bridge.kill()
        bridge.wait()
    place = json.loads((line.folder / "state/place.json").read_text())
    assert place["number"] >= max(said["number"] for said in kept.values())


def test_after_a_long_outage_it_says_what_is_gone_and_is_not_faster_than_allowed(
    line: Line, broker: Broker, receiver: Receiver
) -> None:
    with bridging(line.facts, config_of(line, broker)):
        until(lambda: receiver.retained)
        line.inspect(Fault(BAD))
        until(lambda: receiver.of(f"{TOPIC}/parts"))
    before = json.loads((line.folder / "place.json").read_text())["number"]
    for _ in range(60):
        line.inspect(Fault(BAD))
    with closing(sqlite3.connect(line.facts.journal)) as connection, connection:
        connection.execute("DELETE FROM parts WHERE id <= 21")
    receiver.messages.clear()
    begin_s = time.monotonic()
    with bridging(line.facts, config_of(line, broker, most_per_s=50)):
        until(lambda: len(newest(receiver.of(f"{TOPIC}/parts"))) == 40)
        assert time.monotonic() - begin_s > 0.5
        (gap,) = receiver.of(f"{TOPIC}/gaps")
    assert (gap["reason"], gap["after"]) == ("deleted", before)
    assert gap["at_most"] == gap["up_to"] - gap["after"] >= 20


def test_a_session_is_sent_when_it_begins_and_ends_and_not_at_each_sign_of_life(
    line: Line, broker: Broker, receiver: Receiver
) -> None:
    with bridging(line.facts, config_of(line, broker)):
        until(lambda: receiver.retained)
        line.restart()
        until(lambda: [said["session"] for said in receiver.of(f"{TOPIC}/sessions")][-1:] == [2])
        for _ in range(3):
            line.inspect(Fault(BAD))
            with closing(sqlite3.connect(line.facts.journal)) as connection, connection:
                connection.execute("UPDATE sessions SET alive_utc_ns = alive_utc_ns + 1 WHERE id = 2")
        until(lambda: len(newest(receiver.of(f"{TOPIC}/parts"))) == 3)
    *_, ended, begun = receiver.of(f"{TOPIC}/sessions")
    assert len([said for said in receiver.of(f"{TOPIC}/sessions") if said["session"] == 2]) == 1
    assert (ended["session"], ended["ended_cleanly"], begun["session"], begun["end_time"]) == (1, True, 2, None)


def test_another_journal_is_sent_from_its_begin(line: Line, broker: Broker, receiver: Receiver) -> None:
    with bridging(line.facts, config_of(line, broker)):
        until(lambda: receiver.retained)
        line.inspect(Fault(BAD))
        until(lambda: receiver.of(f"{TOPIC}/parts"))
        line.journal.close()
        for file in line.folder.glob("journal.sqlite*"):
            file.unlink()
        line.open()
        line.inspect(Fault(BAD))
        until(lambda: len(receiver.of(f"{TOPIC}/parts")) == 2)
    old, new = receiver.of(f"{TOPIC}/parts")
    assert old["journal"] != new["journal"]
    assert old["part"] == new["part"] == 1
    (gap,) = receiver.of(f"{TOPIC}/gaps")
    assert (gap["reason"], gap["journal"], gap["at_most"]) == ("replaced", old["journal"], None)


def test_what_happens_before_the_broker_is_there_for_the_first_time_is_not_lost(line: Line, broker: Broker) -> None:
    broker.kill()
    line.inspect(Pass(GOOD))
    with bridging(line.facts, config_of(line, broker)) as bridge:
        until(lambda: "refused" in bridge.said)
        line.inspect(Fault(BAD))
        broker.start()
        receiver = Receiver(broker.port)
        until(lambda: receiver.of(f"{TOPIC}/parts"))
    assert [said["part"] for said in receiver.of(f"{TOPIC}/parts")] == [2]
    receiver.close()


def test_a_damaged_place_sends_everything_again(line: Line, broker: Broker, receiver: Receiver) -> None:
    line.inspect(Fault(BAD))
    (line.folder / "place.json").write_text('{"version": 1')
    with bridging(line.facts, config_of(line, broker)):
        until(lambda: receiver.of(f"{TOPIC}/parts"))
    assert receiver.of(f"{TOPIC}/gaps") == []


def test_an_id_of_the_state_acknowledges_no_change_when_ids_begin_again(
    line: Line, broker: Broker, receiver: Receiver
) -> None:
    with bridging(line.facts, config_of(line, broker)) as bridge:
        until(lambda: receiver.retained)
        line.inspect(Pass(GOOD), Outcome.PASSED)
        until(lambda: "up to change" in bridge.said and receiver.of(f"{TOPIC}/parts"))
        time.sleep(0.2)
        said = bridge.said
        broker.pause()
        assert bridge._connection is not None
        bridge._connection._client._last_mid = 0  # as after 65535 messages
        line.inspect(Pass(GOOD), Outcome.PASSED)
        time.sleep(0.5)
        assert bridge.said == said
        broker.kill()


def test_a_full_disk_stops_no_message(line: Line, broker: Broker, receiver: Receiver) -> None:
    state = line.folder / "disk"
    state.mkdir()
    if os.geteuid():
        pytest.skip("needs root, to make a disk that is full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "inspectd-test", state], check=True)
    try:
        with (state / "full").open("wb", buffering=0) as filling, pytest.raises(OSError, match="No space"):
            while True:
                filling.write(b"x" * 512)
        config = config_of(line, broker).model_copy(update={"state": state})
        with bridging(line.facts, config):
            until(lambda: receiver.retained)
            line.inspect(Fault(BAD))
            until(lambda: receiver.of(f"{TOPIC}/parts"))
    finally:
        subprocess.run(["umount", "--lazy", state], check=True)


@given(name=st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text))
def test_the_name_of_a_line_is_one_level_of_a_topic(name: str) -> None:
    level = bridge_module.level(name)
    assert not set("+#/$\x00 ") & set(level)
