"""One connection to the broker, from connecting to its end. The next connection is a new one.

Nothing is kept for the next connection: what the broker has not acknowledged is read from the journal again. So this needs no
session at the broker (clean start), and its memory is bounded by the few messages that are on the way.

The bridge subscribes to nothing, so nothing that the broker sends is obeyed.
"""

import ssl
from collections import deque
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from inspectd.errors import ConfigError
from inspectd.serve.mqtt.config import BrokerConfig, MqttTlsConfig

MOST_ON_THE_WAY = 20
"""Messages that were sent and not acknowledged yet. A broker may allow fewer (Receive Maximum)."""
_WITHIN_S = 4.0
_KEEPALIVE_S = 20


class ConnectionFailed(Exception):
    """The message says in words why the broker does not connect, or why the connection has ended."""


class Connection:
    """One thread at a time may use it. Nothing happens but in its methods."""

    def __init__(self, config: BrokerConfig, client_id: str, will: tuple[str, bytes]) -> None:
        """Begins to connect; takes up to 8 s. `will`: topic and retained message that the broker sends if it loses this connection.

        Raises ConnectionFailed.
        """
        self.is_open = False
        """Whether the broker has accepted it."""
        self.acknowledged: deque[int] = deque()
        """Ids of messages that the broker has; whoever reads them takes them out."""
        self.most_on_the_way = MOST_ON_THE_WAY
        self._ended: str | None = None
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        self._client.connect_timeout = _WITHIN_S
        self._client.max_inflight_messages_set(MOST_ON_THE_WAY + 1)  # and the state
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.will_set(*will, qos=1, retain=True)
        try:
            if config.login is not None:
                self._client.username_pw_set(config.login.user, read_password(config.login.password_file))
            if config.tls is not None:
                self._client.tls_set_context(tls_context(config.tls))
            self._client.connect(config.host, config.port_used, keepalive=_KEEPALIVE_S, clean_start=True)
        except ssl.SSLCertVerificationError as error:
            raise ConnectionFailed(f"the certificate of the broker is not accepted: {error.verify_message}") from error
        except (OSError, ConfigError) as error:
            raise ConnectionFailed(str(error)) from error

    def publish(self, topic: str, message: bytes, *, retain: bool = False) -> int:
        """The id under which it will be acknowledged. Raises ConnectionFailed."""
        info = self._client.publish(topic, message, qos=1, retain=retain)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionFailed(self._ended or f"a message can't be sent: {info.rc.name}")
        return info.mid

    def wait(self, within_s: float) -> None:
        """Send, receive, and wait for at most so long. Raises ConnectionFailed if the connection has ended."""
        code = self._client.loop(within_s)
        if self._ended is not None or code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionFailed(self._ended or f"the connection is lost: {MQTTErrorCode(code).name}")

    def close(self) -> None:
        """Tell the broker; it then sends no will."""
        self._client.disconnect()

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._ended = f"the broker refuses the connection: {code}"
            return
        allowed = getattr(properties, "ReceiveMaximum", MOST_ON_THE_WAY + 1)
        self.most_on_the_way = max(1, min(MOST_ON_THE_WAY, allowed - 1))
        self.is_open = True

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self._ended = self._ended or f"the connection has ended: {code}"

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._ended = f"the broker refuses a message: {code}"
        else:
            self.acknowledged.append(mid)


def tls_context(config: MqttTlsConfig) -> ssl.SSLContext:
    """Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=config.ca)
        if config.certificate is not None and config.key is not None:
            context.load_cert_chain(config.certificate, config.key)
    except OSError as error:  # also what the TLS library says of wrong files
        files = ", ".join(str(file) for file in (config.ca, config.certificate, config.key) if file is not None)
        raise ConfigError(f"broker.tls: {files} can't be used: {error}") from error
    return context


def read_password(file: Path) -> str:
    """The first line. Raises ConfigError, which does not contain it."""
    try:
        if file.stat().st_mode & 0o007:
            raise ConfigError(f"broker.login.password_file: {file}: everybody may read it; run chmod o= {file}")
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError(f"broker.login.password_file: {file}: can't be read: {problem}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"broker.login.password_file: {file}: its first line is empty")
    return lines[0]
