"""Settings of `inspectd serve mqtt`. They are in a file of their own, because the bridge is a process of its own."""

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from inspectd.files.text_file import shown
from inspectd.files.yaml_file import read_yaml
from inspectd.section import ConfigPath, Section, checked

_HOST = re.compile(r"[A-Za-z0-9.-]+|[0-9a-fA-F:]+")


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("must be the name or the IP address of a computer, such as broker.plant.example")
    return text


class MqttTlsConfig(Section):
    """Encrypts the connection. All files are in PEM form."""

    ca: ConfigPath | None = None
    """Certificates of the authorities that sign for the broker. null: those that this computer trusts."""
    certificate: ConfigPath | None = None
    """The certificate of this bridge, if the broker asks for one."""
    key: ConfigPath | None = None
    """Its private key, without a password. Only the user of the bridge may read it."""

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate, key: one is missing; give both or neither")
        return self


class LoginConfig(Section):
    """Who the bridge is at the broker."""

    user: str = Field(min_length=1, max_length=200)
    """Name of the user."""
    password_file: ConfigPath
    """A file whose first line is the password. Only the user of the bridge may read it."""


class BrokerConfig(Section):
    """The MQTT broker. It must speak MQTT 5."""

    host: Annotated[str, AfterValidator(_host)]
    """Its name or IP address."""
    port: int | None = Field(default=None, ge=1, le=65_535)
    """Its port. null: 8883 with `tls`, 1883 without."""
    tls: MqttTlsConfig | None = None
    """How the connection is encrypted. `tls: {}` trusts the authorities that this computer trusts."""
    login: LoginConfig | None = None
    """Name and password, if the broker asks for them."""
    insecure: bool = False
    """Accepts that passwords and parts cross the network without encryption. Anybody in this network can read and change them."""
    client_id: str | None = Field(default=None, min_length=1, max_length=200)
    """The name of this bridge at the broker, different for each bridge. null: `inspectd-` and the name of the line."""

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        if self.tls is None and not self.insecure and not self._is_this_computer:
            raise ValueError(f"tls: missing for host {shown(self.host)}; add tls, or insecure: true")
        return self

    @property
    def _is_this_computer(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def port_used(self) -> int:
        """The port to connect to."""
        return self.port or (1883 if self.tls is None else 8883)


class MqttConfig(Section):
    """Everything `inspectd serve mqtt` needs to know."""

    line: ConfigPath
    """The config file of the line, such as /etc/inspectd/line.yaml."""
    broker: BrokerConfig
    """Where the changes are sent to."""
    state: ConfigPath = Path("/var/lib/inspectd-mqtt")
    """The folder in which the bridge keeps how far it has come."""
    prefix: str = Field(default="inspectd", pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", max_length=200)
    """What all topics begin with: `inspectd` gives `inspectd/line-1/parts`."""
    most_per_s: int = Field(default=500, ge=1, le=5000)
    """Most messages per second while it catches up after an outage. It must be more than the line makes, which is up to three per part."""


def mqtt_schema() -> str:
    """JSON schema of the config file, for editors."""
    return json.dumps(MqttConfig.model_json_schema(), indent=2)


def load_mqtt_config(path: Path) -> MqttConfig:
    """Read and check the config. Raises ConfigError naming the file and, for every wrong key, its value and what is allowed."""
    return checked(MqttConfig, read_yaml(path, "'line' and 'broker'"), path)
