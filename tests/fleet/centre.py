"""A repository with toy bundles, a web server that can be made to lie, and a line that answers at its control socket."""

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import yaml

from inspectd.cli import main
from inspectd.control.config import ControlConfig
from inspectd.control.protocol import GOES_ON
from inspectd.control.server import ControlServer, Pending
from inspectd.inference import load_bundle
from tests.factories import make_toy_bundle, toy_image

LINE = "line-1"


class Centre:
    """In `folder`: `repository`, its `keys`, and the bundles toy-1.0.0, toy-1.1.0 and toy-1.2.0, of which the first two are published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.keys = folder / "keys"

    def fill(self) -> None:
        for minor in range(3):
            make_toy_bundle(self.bundle(minor), version=f"1.{minor}.0", backends=["onnxruntime"])
        assert self.repo("init", "--keys", self.keys) == 0
        self.publish(0)
        self.publish(1)

    def copy(self, folder: Path) -> "Centre":
        shutil.copytree(self.folder, folder)
        return Centre(folder)

    def bundle(self, minor: int) -> Path:
        return self.folder / f"toy-1.{minor}.0"

    def publish(self, minor: int) -> None:
        assert self.repo("publish", self.bundle(minor), "--keys", self.keys) == 0

    def assign(self, minor: int, *lines: str) -> None:
        options = [option for line in lines for option in ("--line", line)]
        assert self.repo("assign", f"toy-1.{minor}.0", *options, "--keys", self.keys) == 0

    def repo(self, verb: str, *arguments: object) -> int:
        return main(["repository", verb, str(self.repository), *map(str, arguments)])


class Line:
    """Its config, its link and its pull.yaml, in a folder of its own. `loaded`: the version that a running line has."""

    def __init__(self, folder: Path, centre: Centre, url: str, **pull: Any) -> None:
        self.folder = folder
        self.centre = centre
        (folder / "links").mkdir(parents=True)
        (folder / "images").mkdir()
        cv2.imwrite(str(folder / "images" / "1.png"), toy_image("no_fail"))
        self.link = folder / "links" / "toy"
        self.link.symlink_to(centre.bundle(0))
        self.state = folder / "state"
        self.loaded: str | None = None
        self.loaded_hash: str | None = None
        self.reloads = 0
        self.refusal = ""
        self.config: dict[str, Any] = {
            "name": LINE,
            "engine": "links/toy",
            "camera": {"kind": "replay", "source": "images", "rate_hz": 1, "forever": True, "max_age_ms": 100},
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": 1000,
                "width_ms": 20,
                "output": {"kind": "simulated", "record": "output.jsonl"},
            },
            "journal": {"path": "journal.sqlite"},
            "control": {"socket": "control.sock"},
        }
        self.pull_config: dict[str, Any] = {
            "line": "line.yaml",
            "url": url,
            "trusted_root": str(centre.keys / "root.json"),
            "state": "state",
        } | pull
        self.write()

    def write(self) -> None:
        (self.folder / "line.yaml").write_text(yaml.safe_dump(self.config))
        (self.folder / "pull.yaml").write_text(yaml.safe_dump(self.pull_config))

    def pull(self, *options: str) -> int:
        return main(["engines", "pull", "--config", str(self.folder / "pull.yaml"), *options])

    @property
    def version(self) -> str:
        """Of the engine that the link names."""
        return load_bundle(self.link).manifest.version

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "last.json").read_text())
        return found

    @contextmanager
    def running(self) -> Iterator[None]:
        """A line that answers at the control socket, and loads what the link names."""
        self._load()
        ending = threading.Event()
        with ControlServer(ControlConfig(socket=self.folder / "control.sock")) as control:

            def beat() -> None:
                while not ending.wait(0.005):
                    if (pending := control.take()) is not None:
                        self._answer(pending)

            thread = threading.Thread(target=beat, daemon=True)
            thread.start()
            try:
                yield
            finally:
                ending.set()
                thread.join(timeout=2)

    def _answer(self, pending: Pending) -> None:
        if pending.request.verb == "reload":
            self.reloads += 1
            if self.refusal:
                pending.refuse(f"{GOES_ON}{self.refusal}")
                return
            self._load()
        pending.answer(engine="toy", engine_version=self.loaded, engine_hash=self.loaded_hash)

    def _load(self) -> None:
        bundle = load_bundle(self.link)
        self.loaded, self.loaded_hash = bundle.manifest.version, bundle.hash


Answer = Callable[["Handler"], bool]
"""Answers a request in its own way; false: it did not, and the file is sent."""


class Handler(http.server.SimpleHTTPRequestHandler):
    server: "WebServer"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if not self.server.answer(self):
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


class WebServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.answer: Answer = lambda handler: False
        super().__init__(("127.0.0.1", 0), lambda *args: Handler(*args, directory=str(self.folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(folder: Path) -> Iterator[WebServer]:
    """A web server of `folder`, until the block ends."""
    server = WebServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
