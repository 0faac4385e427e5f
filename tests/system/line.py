"""The installed service on a line with a replay camera, a toy engine and a simulated output."""

import json
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import yaml

from inspectd.records.reading import open_for_reading
from tests.factories import make_toy_bundle, toy_image
from tests.system.container import Container, wait_until

UNIT = "inspectd.service"
SOCKET = "/run/inspectd/control.sock"
DELAY_MS = 1000
"""So long that many parts are in flight whenever something dies."""

_FOLDER = "/srv/line"
_STATE = "/var/lib/inspectd"
_CONFIG = "/etc/inspectd/line.yaml"
_GOOD, _FAULTY, _UNKNOWN = "no_fail", "fail_label_half_printed", 160


class Line:
    def __init__(self, container: Container) -> None:
        self._container = container
        self._folder = container.path(_FOLDER)
        (self._folder / "images").mkdir(parents=True)
        self.add_images([_GOOD, _GOOD, _FAULTY, _GOOD, _UNKNOWN] * 8)
        make_toy_bundle(self._folder / "toy")
        self._readable()
        self.configure()
        self._made_s = time.time()

    def remove(self) -> None:
        self.systemctl("stop")
        self.systemctl("reset-failed", check=False)  # a unit that is not loaded can't be reset
        shutil.rmtree(self._folder)
        shutil.rmtree(self._container.path(_STATE), ignore_errors=True)

    def add_images(self, contents: Sequence[str | int]) -> None:
        """Behind those that are there."""
        start = len(list((self._folder / "images").iterdir()))
        for number, content in enumerate(contents, start):
            cv2.imwrite(str(self._folder / f"images/{number:04}.png"), toy_image(content, seed=number))
        self._readable()

    def bundle(self, name: str) -> Path:
        """Where, seen from outside, the engine `name` is or will be."""
        return self._folder / name

    def configure(self, **sections: Any) -> None:
        """Writes the config: the usual one with whole sections replaced."""
        config = {
            "name": "test",
            "engine": f"{_FOLDER}/toy",
            "camera": {
                "kind": "replay",
                "source": f"{_FOLDER}/images",
                "rate_hz": 20,
                "forever": True,
                "max_age_ms": 500,
            },
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": DELAY_MS,
                "width_ms": 20,
                "max_lateness_ms": 200,  # beside a system that boots
                "output": {"kind": "simulated", "record": f"{_STATE}/output.jsonl"},
            },
            "journal": {"path": f"{_STATE}/journal.sqlite"},
            "archive": {"folder": f"{_STATE}/archive"},
            "control": {"socket": SOCKET},
        }
        self._readable()
        self._container.path(_CONFIG).write_text(yaml.safe_dump(config | sections), encoding="utf-8")

    def systemctl(self, verb: str, *, check: bool = True) -> str:
        return self._container.run("systemctl", verb, UNIT, check=check)

    def start(self) -> int:
        """Returns once systemd has seen READY; the main process's id inside."""
        self.systemctl("start")
        return self.pid

    @property
    def pid(self) -> int:
        return int(self.state("MainPID")["MainPID"])

    @property
    def gate_pid(self) -> int:
        return int(self._container.run("pgrep", "--parent", str(self.pid), "--full", "inspectd.gate"))

    def state(self, *properties: str) -> dict[str, str]:
        return self._container.state(UNIT, *properties)

    def process(self, pid: int, file: str) -> dict[str, str]:
        """The `name: value` lines of a file in /proc."""
        lines = self._container.run("cat", f"/proc/{pid}/{file}").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def kill(self, pid: int, name: str) -> None:
        self._container.run("kill", f"-{name}", str(pid))

    def log(self, *options: str) -> str:
        """What service and systemd said since this line was made."""
        return self._container.run("journalctl", "-u", UNIT, "-o", "cat", f"--since=@{self._made_s:.6f}", *options)

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log(), f"{text!r} in the log")

    def wait_for_parts(self, more: int = 10) -> None:
        """Wait for this many more parts than are recorded now."""
        target = self.query("SELECT count(*) FROM parts")[0][0] + more
        wait_until(lambda: self.query("SELECT count(*) FROM parts")[0][0] >= target, f"{more} more parts")

    def query(self, sql: str) -> list[sqlite3.Row]:
        with closing(open_for_reading(self._container.path(f"{_STATE}/journal.sqlite"))) as journal:
            return journal.execute(sql).fetchall()

    def output(self) -> list[Mapping[str, Any]]:
        """What the gate did to the output, oldest first."""
        record = self._container.path(f"{_STATE}/output.jsonl")
        return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]

    def _readable(self) -> None:
        self._container.run("chmod", "-R", "a+rX", _FOLDER)
