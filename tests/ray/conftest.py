"""Tests on a Ray cluster of two nodes on this machine. `make ray` runs them, alone; Ray is not installed for other tests."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.ray)


class TwoNodes:
    """A head at 127.0.0.1 and a second node at 127.0.0.2, one core each, in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"

    def start(self, name: str, python_path: str | None = None) -> None:
        place = (
            [
                "--head",
                f"--port={self.address.rpartition(':')[2]}",
                "--include-dashboard=false",
                "--node-ip-address=127.0.0.1",
            ]
            if name == "head"
            else [f"--address={self.address}", "--node-ip-address=127.0.0.2"]
        )
        common = ["--num-cpus=1", "--disable-usage-stats", "--block", f"--temp-dir={self._folder / name}"]
        common += ["--object-store-memory=100000000"]
        environment = os.environ | ({} if python_path is None else {"PYTHONPATH": python_path})
        with (self._folder / f"{name}.log").open("wb") as log:
            self._nodes[name] = subprocess.Popen(
                [*RAY, "start", *place, *common], stdout=log, stderr=log, env=environment, start_new_session=True
            )
        end_s = time.monotonic() + 60
        while "Ray runtime started" not in (said := (self._folder / f"{name}.log").read_text()):
            assert self._nodes[name].poll() is None, said
            assert time.monotonic() < end_s, said
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """As a power cut would: the processes of the node have no time for anything."""
        node = self._nodes.pop(name)
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def end(self) -> None:
        for node in reversed(self._nodes.values()):
            node.terminate()
        for node in self._nodes.values():
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def own_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nodes and commands share a secret, and Ray writes nothing into the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def nodes(own_token: None) -> Iterator[TwoNodes]:
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        two = TwoNodes(Path(folder))  # a short path: it becomes part of the names of sockets
        try:
            two.start("head")
            yield two
        finally:
            two.end()
