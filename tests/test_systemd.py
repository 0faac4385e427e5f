"""sd_notify with a real datagram socket in place of systemd."""

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspectd.systemd import Notifier, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        if request.param == "path":
            name = str(tmp_path / "notify")
            listener.bind(name)
        else:
            name = f"@inspectd-test-{os.getpid()}"
            listener.bind("\0" + name[1:])
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_USEC", "10000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield listener


def test_says_each_state_in_the_words_of_the_protocol(systemd: socket.socket) -> None:
    notifier = Notifier()
    notifier.ready()
    notifier.status("600 parts/min, 2 rejected")
    notifier.watchdog()
    notifier.stopping()
    heard = [systemd.recv(4096) for _ in range(4)]
    assert heard == [b"READY=1", b"STATUS=600 parts/min, 2 rejected", b"WATCHDOG=1", b"STOPPING=1"]


def test_reloading_bears_the_monotonic_time_in_microseconds(systemd: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    Notifier().reloading()
    state, stamp = systemd.recv(4096).decode().split("\n")
    assert state == "RELOADING=1"
    assert stamp.startswith("MONOTONIC_USEC=")
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_a_line_break_in_the_status_can_not_become_a_state_of_its_own(systemd: socket.socket, line_break: str) -> None:
    Notifier().status(f"camera lost:{line_break}STOPPING=1")
    assert systemd.recv(4096) == b"STATUS=camera lost: STOPPING=1"


def test_the_environment_stays_as_it_was(systemd: socket.socket) -> None:
    before = dict(os.environ)
    notifier = Notifier()
    notifier.ready()
    notifier.watchdog()
    assert dict(os.environ) == before


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    say_everything(Notifier())
    assert capsys.readouterr().err == ""


def test_an_address_that_is_no_unix_socket_is_said_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1234")
    say_everything(Notifier())
    told = capsys.readouterr()
    assert (told.out + told.err).count("vsock:2:1234") == 1


def test_a_listener_that_is_gone_is_said_once_and_does_not_stop_the_line(
    systemd: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier = Notifier()
    notifier.ready()
    systemd.close()
    for _ in range(3):
        say_everything(notifier)
    told = capsys.readouterr()
    assert (told.out + told.err).count("systemd does not listen") == 1


def test_a_listener_that_does_not_read_does_not_hold_up_the_line(systemd: socket.socket) -> None:
    notifier = Notifier()
    # far more than a socket can queue: a send that blocks would never return, and the test would time out
    for _ in range(5000):
        notifier.status("x" * 200)
    assert 0 < len(everything_heard(systemd)) < 5000
    notifier.ready()
    assert everything_heard(systemd) == [b"READY=1"]


@pytest.mark.parametrize("interval", ["", "0", "-5", "soon"])
def test_no_watchdog_unless_systemd_asks_for_it(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, interval: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", interval)
    assert watchdog_interval_s() is None
    notifier = Notifier()
    notifier.watchdog()
    notifier.ready()
    assert systemd.recv(4096) == b"READY=1"


def test_the_watchdog_interval_is_in_seconds(systemd: socket.socket) -> None:
    assert watchdog_interval_s() == 10.0


def test_without_a_pid_the_watchdog_is_meant_for_whoever_reads_it(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_PID")
    assert watchdog_interval_s() == 10.0


def test_a_child_that_inherits_the_variables_is_not_meant(systemd: socket.socket) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from inspectd.systemd import watchdog_interval_s as w; print(w())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "None"


def say_everything(notifier: Notifier) -> None:
    notifier.ready()
    notifier.reloading()
    notifier.status("x")
    notifier.watchdog()
    notifier.stopping()


def everything_heard(listener: socket.socket) -> list[bytes]:
    heard = []
    while select.select([listener], [], [], 0)[0]:
        heard.append(listener.recv(4096))
    return heard
