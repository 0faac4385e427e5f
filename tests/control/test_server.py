"""The control socket with real clients: whatever they do, the next well-behaved one is answered, and nothing waits."""

import os
import pwd
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from inspectd.control import server as module
from inspectd.control.config import ControlConfig
from inspectd.control.protocol import MAX_BYTES, ExpectRequest
from inspectd.control.requester import Requester
from inspectd.control.server import CLIENTS, ControlServer
from inspectd.errors import ConfigError, InUseError
from tests.control.clients import STATUS, answer, as_user, connected

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")


class Line:
    """What the main thread does with requests, in a thread of the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = ControlServer(ControlConfig(socket=path))
        self.taken: list[tuple[str, str, int | None, int | None]] = []
        self.is_busy = False
        self.padding = ""
        """Makes each answer longer."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.server.__exit__(None, None, None)

    def _run(self) -> None:
        while not self._stopping.wait(0.002):
            if not self.is_busy and (pending := self.server.take()) is not None:
                self.taken.append((pending.request.verb, pending.by.user, pending.by.uid, pending.by.pid))
                pending.answer(number=len(self.taken), **({"padding": self.padding} if self.padding else {}))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "control.sock")
    yield line
    line.close()


def test_a_request_is_answered_and_its_sender_is_known(line):
    with connected(line.path) as client:
        client.sendall(STATUS)
        assert answer(client) == {"version": 1, "ok": True, "number": 1}
    assert line.taken == [("status", pwd.getpwuid(os.getuid()).pw_name, os.getuid(), os.getpid())]


EXPECT = b'{"version": 1, "verb": "expect", "fields": {"lot": "A"}, "from": "next"}\n'


def test_a_line_without_text_expects_nothing(line):
    with connected(line.path) as client:
        client.sendall(EXPECT)
        assert answer(client)["error"] == "this line verifies no text: its config has no section 'text'"


def test_an_expectation_does_not_wait_for_a_busy_line(line):
    """Per-label values come 100 times a second; the main thread takes one request per beat."""
    given: list[tuple[str | None, str]] = []

    def expect(request: ExpectRequest, by: Requester) -> dict[str, Any]:
        if request.fields["lot"] == "WRONG":
            raise ValueError("fields.lot: 'WRONG' is not allowed")
        given.append((request.fields["lot"], by.user))
        return {"from": "part 7"}

    line.server.expect = expect
    line.is_busy = True
    with connected(line.path) as client:
        begin_s = time.monotonic()
        for number in range(50):
            client.sendall(EXPECT.replace(b"A", b"L%d" % number))
            assert answer(client) == {"version": 1, "ok": True, "from": "part 7"}
        one_by_one_s = time.monotonic() - begin_s
        begin_s = time.monotonic()
        client.sendall(EXPECT * 100)
        assert [answer(client)["ok"] for _ in range(100)] == [True] * 100
        at_once_s = time.monotonic() - begin_s
        client.sendall(EXPECT.replace(b"A", b"WRONG"))
        assert answer(client)["error"] == "fields.lot: 'WRONG' is not allowed"
    me = pwd.getpwuid(os.getuid()).pw_name
    assert given == [*((f"L{number}", me) for number in range(50)), *([("A", me)] * 100)]
    assert max(one_by_one_s, at_once_s) < 1.5
    assert line.taken == []


def test_several_requests_on_one_connection_are_answered_in_turn(line):
    with connected(line.path) as client:
        client.sendall(STATUS * 20)
        assert [answer(client)["number"] for _ in range(20)] == list(range(1, 21))


def test_after_a_wrong_request_the_connection_goes_on(line):
    with connected(line.path) as client:
        client.sendall(b"nonsense\n" + STATUS)
        assert answer(client)["ok"] is False
        assert answer(client)["ok"] is True
    assert len(line.taken) == 1


def test_a_request_may_come_byte_by_byte(line):
    with connected(line.path) as client:
        for byte in STATUS:
            client.send(bytes([byte]))
            time.sleep(0.002)
        assert answer(client)["ok"] is True


@pytest.mark.parametrize("length", [MAX_BYTES - 1, MAX_BYTES, 1 << 20])
def test_a_request_may_have_so_many_bytes_and_no_more(line, length):
    """Its line end counts, too."""
    with connected(line.path) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(STATUS.strip().ljust(length) + b"\n")
        found = answer(client)
        assert found["ok"] is (length < MAX_BYTES)
        if not found["ok"]:
            assert found["error"] == "the request is longer than 4096 bytes"
            assert answer(client) is None


@pytest.mark.parametrize("sent", [b"", b'{"version": 1, "verb": "acknow'])
def test_a_client_that_hangs_is_disconnected(line, monkeypatch, sent):
    monkeypatch.setattr(module, "SILENT_S", 0.2)
    with connected(line.path) as client:
        client.sendall(sent)
        assert answer(client) == {"version": 1, "ok": False, "error": "no whole request came within 0.2 s"}
        assert answer(client) is None
    assert line.taken == []


def test_a_client_waits_for_a_busy_line_as_long_as_it_takes(line, monkeypatch):
    monkeypatch.setattr(module, "SILENT_S", 0.2)
    line.is_busy = True
    with connected(line.path) as client:
        client.sendall(STATUS)
        time.sleep(0.4)
        line.is_busy = False
        assert answer(client)["ok"] is True
        time.sleep(0.1)
        client.sendall(STATUS)
        assert answer(client)["ok"] is True


def test_a_client_that_goes_before_its_answer_harms_nobody(line):
    line.is_busy = True
    with connected(line.path) as client:
        client.sendall(STATUS)
        time.sleep(0.1)
    line.is_busy = False
    with connected(line.path) as client:
        client.sendall(STATUS)
        assert answer(client)["number"] == 2


def test_a_client_that_reads_nothing_holds_nobody_up(line):
    with connected(line.path) as deaf, connected(line.path) as client:
        deaf.setblocking(False)
        deadline_s = time.monotonic() + 0.5
        while time.monotonic() < deadline_s:
            with suppress(OSError):
                deaf.send(STATUS * 100)
            client.sendall(STATUS)
            assert answer(client)["ok"] is True


def test_a_client_that_does_not_read_its_answer_is_disconnected(line):
    line.padding = "x" * (1 << 20)  # more than the kernel keeps for it
    with connected(line.path) as deaf, connected(line.path) as client:
        deaf.sendall(STATUS)
        time.sleep(0.1)
        line.padding = ""
        client.sendall(STATUS)
        assert answer(client)["number"] == 2
        while deaf.recv(1 << 16):
            pass


def test_more_clients_than_places_wait_for_one(line, monkeypatch):
    monkeypatch.setattr(module, "SILENT_S", 0.5)
    hanging = [connected(line.path) for _ in range(CLIENTS)]
    with connected(line.path) as client:
        client.sendall(STATUS)
        time.sleep(0.2)
        assert len(line.server._clients) == CLIENTS
        assert answer(client)["ok"] is True
    for each in hanging:
        each.close()


def test_a_flood_takes_little_of_a_processor(line):
    """Clients that send as fast as they can: the thread rests ten times as long as it works."""
    stopping = threading.Event()

    def flood() -> None:
        while not stopping.is_set():
            with suppress(OSError), connected(line.path) as client:
                client.settimeout(0.1)
                while not stopping.is_set():
                    client.send(b'{"version": 1, "verb": "nothing"}\n')

    threads = [threading.Thread(target=flood) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    clock = time.pthread_getcpuclockid(line.server._thread.ident)
    begin, begin_s = time.clock_gettime(clock), time.monotonic()
    time.sleep(1)
    share = (time.clock_gettime(clock) - begin) / (time.monotonic() - begin_s)
    stopping.set()
    for thread in threads:
        thread.join()
    assert share < 0.15


def test_a_place_is_taken_over_from_a_line_that_died(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as died:
        died.bind(str(path))
    line = Line(path)
    with connected(path) as client:
        client.sendall(STATUS)
        assert answer(client)["ok"] is True
    line.close()
    assert not path.exists()


def test_a_second_line_is_refused_and_the_first_goes_on(line):
    with pytest.raises(InUseError, match="in use by"):
        ControlServer(ControlConfig(socket=line.path))
    link = line.path.parent / "link"
    link.symlink_to(line.path.parent)
    with pytest.raises(InUseError, match="in use by"):
        ControlServer(ControlConfig(socket=link / line.path.name))
    with connected(line.path) as client:
        client.sendall(STATUS)
        assert answer(client)["ok"] is True


def test_the_socket_of_another_program_stays(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        for _ in range(3):  # the third finds its queue full
            with pytest.raises(InUseError, match="another process listens there"):
                ControlServer(ControlConfig(socket=path))
        assert path.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("mine"), "is not a socket"),
        (lambda path: path.mkdir(), "is not a socket"),
        (lambda path: path.symlink_to("/dev/null"), "is not a socket"),
        (lambda path: path.parent.rmdir(), "can't be made there: No such file or directory"),
    ],
)
def test_a_place_that_can_not_be_used_is_named_and_left_as_it_is(tmp_path, make, words):
    path = tmp_path / "folder" / "control.sock"
    path.parent.mkdir()
    make(path)
    with pytest.raises(ConfigError, match=words) as caught:
        ControlServer(ControlConfig(socket=path))
    assert str(path) in str(caught.value)
    assert os.path.lexists(path) == path.parent.exists()


def test_a_path_longer_than_the_kernel_takes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must have at most 107 bytes"):
        ControlConfig(socket=tmp_path / ("x" * 100))


def test_only_user_and_group_of_the_line_may_use_it(line):
    mode = line.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


@needs_root
def test_other_users_are_refused_by_the_file_and_by_the_line(line, tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    os.chown(line.path, -1, 54321)
    assert as_user(12345, [], line.path) == "PermissionError\n"
    assert '"ok": true' in as_user(12345, [9, 54321], line.path)
    assert '"ok": true' in as_user(54321, [], line.path)
    line.path.chmod(0o666)
    with capture_logs() as logs:
        assert "user 12345 may not control this line" in as_user(12345, [9], line.path)
    assert [log["uid"] for log in logs if log["event"] == "a user may not use the control socket"] == [12345]
    assert [taken[1:3] for taken in line.taken] == [("12345", 12345), ("54321", 54321)]


class _AnyClients(RuleBasedStateMachine):
    """Clients that come, send anything, hang and go, at any time. A well-behaved one is always answered."""

    line: Line

    @initialize()
    def begin(self) -> None:
        folder = Path(os.environ["PYTEST_FOLDER"]) / str(time.monotonic_ns())
        folder.mkdir()
        self.line = Line(folder / "s")
        self.clients: list[socket.socket] = []
        self.asked = 0

    @precondition(lambda self: len(self.clients) < CLIENTS - 1)
    @rule()
    def come(self) -> None:
        self.clients.append(connected(self.line.path))

    @precondition(lambda self: self.clients)
    @rule(
        data=st.binary(min_size=1, max_size=50)
        | st.sampled_from(
            [b"\n", b"\0\n", b"{", b"\xff\xfe\n", b"x" * 5000, b"[" * 4000 + b"\n", STATUS[:-5], b"{}\n" * 50]
        ),
        which=st.integers(0, CLIENTS),
    )
    def send(self, data: bytes, which: int) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.clients[which % len(self.clients)].sendall(data)

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, CLIENTS))
    def go(self, which: int) -> None:
        self.clients.pop(which % len(self.clients)).close()

    @invariant()
    def a_good_client_is_answered(self) -> None:
        with connected(self.line.path) as client:
            client.sendall(STATUS)
            found = answer(client)
        assert found is not None
        assert found["ok"] is True
        self.asked += 1
        assert len(self.line.server._clients) <= CLIENTS

    def teardown(self) -> None:
        for client in self.clients:
            client.close()
        self.line.close()
        assert {verb for verb, *_ in self.line.taken} == {"status"}
        assert not self.line.path.exists()


def test_whatever_clients_do_the_next_one_is_answered(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_FOLDER", str(tmp_path))
    run_state_machine_as_test(_AnyClients, settings=settings(max_examples=8, stateful_step_count=10))
