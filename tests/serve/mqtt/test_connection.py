"""Passwords and certificates at a real broker, and what a wrong one looks like."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from inspectd.errors import ConfigError
from inspectd.serve.mqtt.config import BrokerConfig, load_mqtt_config
from inspectd.serve.mqtt.connection import Connection, ConnectionFailed, read_password, tls_context
from tests.serve.mqtt.broker import Broker, until

PASSWORD = "correct horse battery"
WILL = ("inspectd/printer-3/state", b"{}")


def connected(config: BrokerConfig) -> Connection:
    connection = Connection(config, "inspectd-printer-3", WILL)
    until(lambda: connection.wait(0.05) or connection.is_open)
    return connection


def delivers(connection: Connection, topic: str) -> bool:
    mid = connection.publish(topic, b"{}")
    until(lambda: connection.wait(0.05) or connection.acknowledged)
    return list(connection.acknowledged) == [mid]


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        file = tmp_path / "password"
        file.write_text(text)
        file.chmod(0o640)
        return file

    return written


def test_a_user_with_a_password(tmp_path: Path, secret: Callable[[str], Path]) -> None:
    users, rights = tmp_path / "users", tmp_path / "rights"
    rights.write_text("user line-1\ntopic write inspectd/printer-3/#\n")
    broker = Broker(
        tmp_path, f"allow_anonymous false\npassword_file {users}\nacl_file {rights}", make=lambda: add(users)
    )
    try:
        where = {"host": "127.0.0.1", "port": broker.port}
        login = {"user": "line-1", "password_file": secret(f"{PASSWORD}\n")}
        assert delivers(connected(BrokerConfig(**where, login=login)), "inspectd/printer-3/parts")
        with pytest.raises(ConnectionFailed, match="refuses a message: Not authorized"):
            delivers(connected(BrokerConfig(**where, login=login)), "inspectd/printer-4/parts")
        with pytest.raises(ConnectionFailed, match="refuses the connection"):
            connected(BrokerConfig(**where))
        secret("wrong horse")
        with pytest.raises(ConnectionFailed, match="refuses the connection") as refused:
            connected(BrokerConfig(**where, login=login))
        assert "wrong horse" not in str(refused.value)
    finally:
        broker.kill()


def add(users: Path) -> None:
    users.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", users, "line-1", PASSWORD], check=True)


def write_certificate(folder: Path, name: str) -> Path:
    """Signed by itself, for 127.0.0.1, with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / f"{name}.pem"
    file.write_bytes(certificate.public_bytes(pem))
    file.with_suffix(".key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return file


def test_only_the_right_broker_gets_anything(tmp_path: Path) -> None:
    right, wrong = write_certificate(tmp_path, "right"), write_certificate(tmp_path, "wrong")
    broker = Broker(
        tmp_path, f"allow_anonymous true\ncertfile {right}\nkeyfile {right.with_suffix('.key')}\ncafile {right}"
    )
    try:
        where = {"host": "127.0.0.1", "port": broker.port}
        assert delivers(connected(BrokerConfig(**where, tls={"ca": right})), "inspectd/printer-3/parts")
        for ca in (wrong, None):
            with pytest.raises(ConnectionFailed, match="certificate of the broker is not accepted"):
                connected(BrokerConfig(**where, tls={"ca": ca}))
        with pytest.raises(ConnectionFailed):
            connected(BrokerConfig(**where))
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("text", "mode", "said"), [("x\n", 0o644, "everybody may read it"), ("\n", 0o600, "its first line is empty"), ("", 0o600, "empty")]
)  # fmt: skip
def test_a_password_file_that_cannot_be_used(tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "password"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=said):
        read_password(file)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"password_file: .*nowhere: can't be read"):
        read_password(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"broker\.tls: .*nowhere can't be used"):
        tls_context(BrokerConfig(host="x", tls={"ca": tmp_path / "nowhere"}).tls)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("broker: {host: 10.0.0.1}", "tls: missing for host '10.0.0.1'"),
        ("broker: {host: 'x/y', tls: {}}", "must be the name or the IP address"),
        ("broker: {host: x, tls: {key: k.pem}}", "certificate, key: one is missing"),
        ("broker: {host: localhost}\nprefix: a/#", "prefix: 'a/#'"),
        ("broker: {host: localhost, login: {user: u, password: p}}", "password"),
    ],
)
def test_what_is_not_allowed_is_said(tmp_path: Path, lines: str, said: str) -> None:
    file = tmp_path / "mqtt.yaml"
    file.write_text(f"line: line.yaml\n{lines}\n")
    with pytest.raises(ConfigError, match=said):
        load_mqtt_config(file)


def test_a_config_says_which_port(tmp_path: Path) -> None:
    assert BrokerConfig(host="localhost").port_used == 1883
    assert BrokerConfig(host="broker.example", tls={}).port_used == 8883
