"""The process `inspectd serve web`: TLS, slow clients, full disk, and how it ends."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlencode

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.testclient import TestClient

from inspectd.errors import ConfigError
from inspectd.records.audit import AuditTrail, verify
from inspectd.records.passwords import hash_password
from inspectd.records.users import Role, Users
from inspectd.serve.web.access import connection, listening
from inspectd.serve.web.access.accounts import Accounts
from inspectd.serve.web.access.listening import Listening
from inspectd.serve.web.app import make_app
from inspectd.serve.web.config import TlsConfig
from inspectd.serve.web.server import serve, server_settings
from inspectd.serve.web.site import Site
from tests.serve.web.conftest import PASSWORD, Plant, login_fields


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "printer-3")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "page.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "page.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


@pytest.mark.alone
def test_the_process_encrypts_logs_in_and_ends_within_two_seconds(plant: Plant, tmp_path: Path) -> None:
    write_certificate(tmp_path)
    (tmp_path / "state").mkdir(0o700)
    file = tmp_path / "web.yaml"
    file.write_text(
        f"line: {plant.site.line.file}\nstate: state\nport: 0\ntls: {{certificate: page.pem, key: page.key}}\n"
    )
    password = "correct horse battery"
    Users(tmp_path / "state").add("anna", Role.ADMIN, hash_password("anna", password))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(60)
    page = subprocess.Popen(
        [sys.executable, "-m", "inspectd", "serve", "web", "--config", str(file)],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"},
    )  # fmt: skip
    assert page.stderr is not None
    try:
        assert notify.recv(100) == b"READY=1"
        assert notify.recv(100) == b"WATCHDOG=1"
        line = json.loads(page.stderr.readline())
        port = int(line["url"].rpartition(":")[2].strip("/"))
        context = ssl.create_default_context(cafile=str(tmp_path / "page.pem"))
        browser = HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        browser.request("GET", "/login")
        answer = browser.getresponse()
        form = answer.read().decode()
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        csrf = re.search(r'name="csrf" value="(\w+)"', form)
        assert csrf
        fields = urlencode({"name": "anna", "password": password, "csrf": csrf[1], "next": "/"})
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        browser.request("POST", "/login", fields, kind)
        answer = browser.getresponse()
        answer.read()
        said = answer.getheader("set-cookie") or ""
        assert answer.status == 303
        assert said.startswith("__Host-inspectd_session=")
        assert "; Secure" in said
        took_s = []
        for _ in range(5):
            begin_s = time.monotonic()
            browser.request("GET", "/static/style.css")
            browser.getresponse().read()
            took_s.append(time.monotonic() - begin_s)
        assert min(took_s) < 0.035, "each answer waits 40 ms for the acknowledgement of its first half"
        session = {"Cookie": said.partition(";")[0]}
        browser.request("GET", "/events", headers=session)
        events = browser.getresponse()
        assert events.getheader("content-type", "").startswith("text/event-stream")
        assert events.readline()
        half = HTTPSConnection("127.0.0.1", port, context=context)
        half.connect()
        half.sock.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.1)
        page.send_signal(signal.SIGTERM)
        begin_s = time.monotonic()
        rest = page.communicate(timeout=10)[1]
        assert time.monotonic() - begin_s < 2
        assert page.returncode == 0
        assert password not in rest
        assert said.split(";")[0].partition("=")[2] not in rest
    finally:
        page.kill()
        page.wait()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("tls: {certificate: page.pem, key: nowhere.key}", "tls: "),
        ("state: /proc/nowhere", "state: /proc/nowhere can't be used"),
    ],
)
def test_what_cannot_be_used_is_said(plant: Plant, tmp_path: Path, lines: str, said: str) -> None:
    write_certificate(tmp_path)
    file = tmp_path / "web.yaml"
    state = "" if "state" in lines else "state: state\n"
    file.write_text(f"line: {plant.site.line.file}\n{state}port: 0\n{lines}\n")
    with pytest.raises(ConfigError, match=said):
        serve(file)


@contextmanager
def running(site: Site) -> Iterator[int]:
    """The port of the site, served as the process serves it."""
    with Listening(socket.create_server(("127.0.0.1", 0)), site.config.behind_proxy) as listening:
        server = uvicorn.Server(server_settings(site))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(timeout=5)


@pytest.fixture
def port(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A site whose connections may take 0.3 s for a request, and of which one address may have three."""
    monkeypatch.setattr(connection, "_WHOLE_REQUEST_WITHIN_S", 0.3)
    monkeypatch.setattr(listening, "_MOST_PER_ADDRESS", 3)
    with running(plant.site) as port:
        yield port


@pytest.mark.parametrize(
    ("proxies", "said", "kept"),
    [
        ((), "203.0.113.7", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.1", "10.0.0.0/8"), "1.2.3.4, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        (("10.0.0.0/8",), "203.0.113.7", "127.0.0.1"),
    ],
)
def test_only_a_proxy_of_the_config_says_who_asks(plant: Plant, proxies: tuple[str, ...], said: str, kept: str) -> None:
    proxied = {"behind_proxy": proxies, "public_url": "https://line-3.example"} if proxies else {}
    config = plant.site.config.model_copy(update=proxied)
    with running(replace(plant.site, config=config)) as port:
        page = HTTPConnection("127.0.0.1", port, timeout=5)
        page.request("GET", "/login", headers={"Host": "localhost" if not proxies else "line-3.example"})
        answer = page.getresponse()
        csrf = re.search(r'name="csrf" value="(\w+)"', answer.read().decode())
        assert csrf
        fields = urlencode({"name": "viewer", "password": "wrong", "csrf": csrf[1]})
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, "X-Forwarded-For": said}
        page.request("POST", "/login", fields, kind)
        assert page.getresponse().status == 401
        page.close()
    assert plant.site.audit.entries(limit=1)[0].address == kept
    plant.site.accounts.users.unlock("viewer")


HEAD = b"GET /login HTTP/1.1\r\nHost: localhost\r\n"


def is_closed(client: socket.socket) -> bool:
    client.settimeout(2)
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    "begin",
    [b"", HEAD, b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_client_that_does_not_finish_its_request_is_disconnected(port: int, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(begin)
        assert is_closed(client)


def test_a_client_that_trickles_is_disconnected_and_others_are_served(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow, socket.create_connection(("127.0.0.1", port)) as quick:
        quick.settimeout(2)
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe
            for byte in HEAD * 10:
                slow.sendall(bytes([byte]))
                time.sleep(0.03)
                if byte == ord("\n"):
                    quick.sendall(HEAD + b"\r\n")
                    assert quick.recv(12) == b"HTTP/1.1 200"
                    while b"</html>" not in quick.recv(65536):
                        pass


def test_one_address_cannot_take_all_connections(port: int) -> None:
    taken = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    try:
        with socket.create_connection(("127.0.0.1", port)) as fourth:
            fourth.sendall(HEAD + b"\r\n")
            assert is_closed(fourth)
    finally:
        for each in taken:
            each.close()
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", port)) as again:
        again.settimeout(2)
        again.sendall(HEAD + b"\r\n")
        assert again.recv(12) == b"HTTP/1.1 200"


def test_one_address_cannot_take_all_connections_before_tls_has_begun(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_MOST_PER_ADDRESS", 3)
    write_certificate(tmp_path)
    tls = TlsConfig(certificate=tmp_path / "page.pem", key=tmp_path / "page.key")
    with running(replace(plant.site, config=plant.site.config.model_copy(update={"tls": tls}))) as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        assert is_closed(clients[3])
        for each in clients:
            each.close()


def test_a_stream_ends_with_its_session(plant: Plant) -> None:
    accounts = plant.site.accounts
    accounts.users.add("zoe", Role.VIEWER, hash_password("zoe", "correct horse battery"))
    token = accounts.login("zoe", "correct horse battery", "::1", now_utc_s=time.time(), now_s=time.monotonic())
    with running(plant.site) as port:
        page = HTTPConnection("127.0.0.1", port, timeout=10)
        page.request("GET", "/events", headers={"Cookie": f"inspectd_session={token}"})
        events = page.getresponse()
        assert events.status == 200
        assert events.readline()
        accounts.users.remove("zoe")
        events.read()  # returns when the stream ends
        page.request("GET", "/", headers={"Cookie": f"inspectd_session={token}"})
        assert page.getresponse().status == 303
        page.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a disk that is full")
def test_on_a_full_disk_nobody_logs_in_and_reading_goes_on(plant: Plant, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "inspectd-test", disk], check=True)
    try:
        audit = AuditTrail(disk / "audit.sqlite")
        accounts = Accounts(disk, audit, idle_s=3600, longest_s=43_200)
        accounts.users.add("viewer", Role.VIEWER, hash_password("viewer", PASSWORD))
        client = TestClient(make_app(replace(plant.site, accounts=accounts, audit=audit)), "http://localhost")
        client.post("/login", data=login_fields(Role.VIEWER, client.get("/login").text))
        with (disk / "full").open("wb", buffering=0) as filling, pytest.raises(OSError, match="No space"):
            while True:
                filling.write(b"x" * 512)
        assert client.get("/setup").status_code == 200
        other = TestClient(client.app, "http://localhost")
        answer = other.post("/login", data=login_fields(Role.VIEWER, other.get("/login").text))
        assert answer.status_code == 503
        assert "can&#39;t be written" in answer.text
        (disk / "full").unlink()
        answer = other.post("/login", data=login_fields(Role.VIEWER, other.get("/login").text), follow_redirects=False)
        assert answer.status_code == 303
        assert verify(disk / "audit.sqlite") == []
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
