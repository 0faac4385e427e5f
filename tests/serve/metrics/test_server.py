"""What Prometheus gets, and that no client can hold the exporter up."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inspectd.errors import ConfigError
from inspectd.fleet.assignments import Assigned
from inspectd.fleet.last_pull import LastPull, write_last_pull
from inspectd.part import Fault, Missed, MissedReason
from inspectd.serve import line_now
from inspectd.serve.address import listen
from inspectd.serve.metrics import server as server_module
from inspectd.serve.metrics import watching
from inspectd.serve.metrics.config import MetricsConfig
from inspectd.serve.metrics.server import MOST_CONNECTIONS, MetricsServer, application, serve
from inspectd.serve.metrics.watching import Watch
from tests.serve.conftest import BAD, Line
from tests.serve.lines import running_line

NOW = datetime.now(UTC)
PULL = LastPull(
    line="printer-3",
    outcome="refused",
    said="its signature is wrong",
    exit_code=1,
    assigned=Assigned(engine="toy-1.0.1"),
    ended_utc=NOW,
    reached_utc=NOW,
    good_utc=NOW,
    expires_utc=NOW,
)
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def fetched(port: int, path: str = "/metrics") -> str:
    client = HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path)
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    assert answer.status == 200, text
    return text


def values(text: str) -> Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(port: int, name: str, **labels: str) -> float | None:
    return values(fetched(port)).get((name, frozenset(labels.items())))


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@contextmanager
def exporting(line: Line) -> Iterator[int]:
    """The port of an exporter of this line."""
    config = MetricsConfig(line=line.facts.file, state=line.folder, port=0, pull=line.folder / "pull")
    watch = Watch(line.facts, config.state)
    with listen("127.0.0.1", 0, backlog=16) as listening:
        server = MetricsServer(listening, application(watch, config), lambda: watch.turned_s)
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        until(lambda: value(port, "inspectd_journal_readable") == 1)
        yield port
        server.shutdown()
        thread.join(timeout=2)
        watch.close()


def test_prometheus_gets_what_the_line_does_and_nothing_old(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_now, "EVERY_S", 0.1)
    monkeypatch.setattr(watching, "_LOOK_S", 0.05)
    socket_path = line.facts.control
    assert socket_path is not None
    (line.folder / "pull").mkdir()
    with exporting(line) as port:
        assert value(port, "inspectd_line_up") == 1
        assert value(port, "inspectd_line_answers") == 0
        assert value(port, "inspectd_run_permit") is None
        with running_line(line.journal, socket_path) as running:
            until(lambda: value(port, "inspectd_run_permit") == 1)
            assert value(port, "inspectd_engine_info", engine="toy", version="1.0.0", hash="ab" * 32) == 1
            assert value(port, "inspectd_text_fields_without_expectation") == 0
            assert value(port, "inspectd_parts_total", verdict="missed", cause="overrun") == 0, "known before it occurs"
            with running.paused():
                line.inspect(Fault(BAD))
                line.inspect(Missed(MissedReason.OVERRUN))
            running.halt("too_many_rejects")
            until(lambda: value(port, "inspectd_stop_active", reason="too_many_rejects") == 1)
            write_last_pull(line.folder / "pull", PULL)
            text = fetched(port)
            found = values(text)
            assert found["inspectd_pull_outcome", frozenset({("outcome", "refused")})] == 1
            assert found["inspectd_pull_good", frozenset()] == 0
            assert found["inspectd_pull_assigned_info", frozenset({("engine", "toy-1.0.1"), ("reader", "")})] == 1
            assert found["inspectd_parts_total", frozenset({("verdict", "fault"), ("cause", "fail_smudge")})] == 1
            assert value(port, "inspectd_parts_total", verdict="missed", cause="overrun") == 1
            assert value(port, "inspectd_stops_total", reason="too_many_rejects") == 1
            assert value(port, "inspectd_verdict_seconds_bucket", le="0.02") == 2
            assert value(port, "inspectd_run_permit") == 0
            assert value(port, "process_resident_memory_bytes")
            with monkeypatch.context() as later:
                later.setattr(line_now, "FRESH_S", -1)
                assert value(port, "inspectd_run_permit") is None, "an old answer"
            check_names(text)
            check_documents(text)
        until(lambda: value(port, "inspectd_line_answers") == 0)
        assert value(port, "inspectd_run_permit") is None
        line.facts.journal.rename(line.folder / "gone")
        until(lambda: value(port, "inspectd_journal_readable") == 0)
        text = fetched(port)
        assert value(port, "inspectd_line_up") == 0
        assert "inspectd_parts_total" not in text
        (line.folder / "gone").rename(line.facts.journal)
        until(lambda: value(port, "inspectd_parts_total", verdict="missed", cause="overrun") == 1)


def check_names(text: str) -> None:
    """By Prometheus' own linter."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs Debian's prometheus: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    own = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("inspectd")]
    assert own == []


def check_documents(text: str) -> None:
    """The page lists every metric, and the rules ask for none that does not exist."""
    found = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("inspectd_")}
    docs = Path(__file__).parents[3] / "docs" / "line"
    listed = set(re.findall(r"^\| `(inspectd_\w+?)(?:_total)?[`{]", (docs / "metrics.md").read_text(), re.MULTILINE))
    assert listed == found
    asked = set(re.findall(r"inspectd_\w+?(?=_total\b|\b)", (docs / "prometheus" / "rules.yml").read_text()))
    assert asked <= found


def test_clients_that_read_nothing_do_not_hold_up_others(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_S", 2.0)
    with exporting(line) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_CONNECTIONS - 1)]
        for each in silent[::2]:
            each.sendall(b"GET /metrics HTTP/1.1\r\n")
        begin_s = time.monotonic()
        fetched(port)
        assert time.monotonic() - begin_s < 1
        silent.append(socket.create_connection(("127.0.0.1", port)))
        with socket.create_connection(("127.0.0.1", port)) as too_many:
            assert is_closed(too_many)
            assert time.monotonic() - begin_s < 1.5, "closed at once, and not because it has lasted too long"
        until(lambda: all(is_closed(each) for each in silent))
        fetched(port)
        for each in silent:
            each.close()


def is_closed(client: socket.socket) -> bool:
    client.settimeout(2)
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_counts_that_cannot_be_kept_are_shown(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LOOK_S", 0.05)
    (line.folder / "counts.json").mkdir()  # as a full disk: nothing can be written there
    with exporting(line) as port:
        line.inspect(Fault(BAD))
        until(lambda: value(port, "inspectd_parts_total", verdict="fault", cause="fail_smudge") == 1)


def test_there_is_nothing_at_other_paths(line: Line) -> None:
    with exporting(line) as port, pytest.raises(AssertionError, match="The metrics are at /metrics"):
        fetched(port, "/")


LINE = """\
name: printer-3
engine: engine
camera: {kind: replay, source: archive, rate_hz: 10, max_age_ms: 90}
gate: {wiring: pulse_to_reject, delay_ms: 120, width_ms: 20, output: {kind: simulated, record: output.jsonl}}
journal: {path: journal.sqlite}
"""


def test_the_process_tells_systemd_keeps_its_counts_and_ends_at_once(line: Line) -> None:
    (line.folder / "line.yaml").write_text(LINE)
    file = line.folder / "metrics.yaml"
    file.write_text("line: line.yaml\nstate: state\nport: 0\n")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(line.folder / "notify"))
    notify.settimeout(30)
    process = subprocess.Popen(
        [sys.executable, "-m", "inspectd", "serve", "metrics", "--config", str(file)], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"NOTIFY_SOCKET": str(line.folder / "notify"), "WATCHDOG_USEC": "30000000"},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        assert notify.recv(100) == b"READY=1"
        assert notify.recv(100) == b"WATCHDOG=1"
        url = json.loads(process.stderr.readline())["url"]
        port = int(re.search(r":(\d+)/", url)[1])  # type: ignore[index]
        until(lambda: value(port, "inspectd_counts_complete") == 1)
        line.inspect(Fault(BAD))
        until(lambda: value(port, "inspectd_parts_total", verdict="fault", cause="fail_smudge") == 1)
        process.send_signal(signal.SIGTERM)
        begin_s = time.monotonic()
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - begin_s < 2
        assert json.loads((line.folder / "state/counts.json").read_text())["parts"] == {"fault": {"fail_smudge": 1}}
    finally:
        process.kill()
        process.wait()
        notify.close()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("state: /proc/nowhere", "state: /proc/nowhere can't be used"),
        ("host: localhost", "host: 'localhost' is not allowed: must be an IP address"),
        ("port: 70000", "port: 70000"),
        ("prot: 1", "prot"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, lines: str, said: str) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text(f"line: line.yaml\n{lines}\n")
    with pytest.raises(ConfigError, match=said):
        serve(file)
