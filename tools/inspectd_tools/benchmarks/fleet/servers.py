"""What the lines of a plant share: a web server with the repository, a mirror that alters a file, and an MQTT broker."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from inspectd_tools.benchmarks.fleet.lines import free_port

_MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _Altered(_Files):
    """One byte of the model is another one."""

    def do_GET(self) -> None:
        if not self.path.endswith(".model.onnx"):
            return super().do_GET()
        data = bytearray(Path(self.translate_path(self.path)).read_bytes())
        data[len(data) // 2] ^= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None


@contextmanager
def web_server(folder: Path, *, altered: bool = False) -> Iterator[str]:
    """Its address."""
    handler = partial(_Altered if altered else _Files, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Broker:
    """Mosquitto, and a receiver of all parts."""

    def __init__(self, folder: Path) -> None:
        if _MOSQUITTO is None:
            raise SystemExit("--bridges needs mosquitto: apt-get install mosquitto")
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n"
        )
        self.process = subprocess.Popen([_MOSQUITTO, "-c", str(config)], stderr=subprocess.DEVNULL)
        self.parts: dict[str, set[int]] = {}
        """Line -> numbers of its parts that have come."""
        self.messages = 0
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("inspectd/+/parts", qos=1)
        self._client.on_message = self._take
        self._client.connect_async("127.0.0.1", self.port)
        self._client.loop_start()

    def _take(self, client: object, data: object, message: object) -> None:
        part = json.loads(message.payload)  # type: ignore[attr-defined]
        self.messages += 1
        self.parts.setdefault(part["line"], set()).add(part["part"])

    def close(self) -> None:
        self._client.loop_stop()
        self.process.terminate()
        self.process.wait(timeout=30)


def scraped_parts(port: int) -> int:
    """What a line's metrics say: the number of labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith("inspectd_parts_total{")))
