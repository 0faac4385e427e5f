"""A real broker (mosquitto) and a receiver that keeps what comes."""

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def until(holds: Callable[[], object], within_s: float = 30) -> None:
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Broker:
    """`settings`: further lines of its config file. `make`: makes files that they name. It keeps its sessions on disk, so that a receiver misses nothing."""

    def __init__(
        self, folder: Path, settings: str = "allow_anonymous true", make: Callable[[], None] | None = None
    ) -> None:
        if MOSQUITTO is None:
            pytest.skip("needs Debian's mosquitto: apt-get install mosquitto")
        if make is not None:
            make()
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"user root\nlistener {self.port} 127.0.0.1\n{settings}\npersistence true\npersistence_location {folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\nmax_inflight_messages 0\nmax_queued_messages 0\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._config)], stderr=subprocess.DEVNULL)
        until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def pause(self) -> None:
        """It stays connected and acknowledges nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


class Receiver:
    """Subscribes to everything, with a session that outlives its connection."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.retained: dict[str, dict[str, Any]] = {}
        self._client = Client(CallbackAPIVersion.VERSION2, "receiver", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self._take(message)
        self._client.reconnect_delay_set(1, 1)
        self.subscribed = 0
        self._client.on_connect = lambda *_: self._client.subscribe("#", qos=1)
        self._client.on_subscribe = self._on_subscribe
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, properties=session)
        self._client.loop_start()
        until(lambda: self.subscribed)

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed += 1

    def _take(self, message: Any) -> None:
        said = json.loads(message.payload)
        self.messages.append((message.topic, said))
        if message.topic.endswith("/state"):
            self.retained[message.topic] = said

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [said for at, said in self.messages if at == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
