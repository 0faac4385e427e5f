"""Settings of the operator's page. They are in a file of their own, because the page is a process of its own."""

import json
import re
from datetime import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from inspectd.files.text_file import shown
from inspectd.files.yaml_file import read_yaml
from inspectd.section import ConfigPath, Section, TimeOfDay, checked
from inspectd.serve.address import ip

_URL = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError("must be an IP address or a network, such as 127.0.0.1 or 10.0.0.0/24") from None
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError(
            "must be http:// or https:// and a host in small letters, such as https://line-3.plant.example"
        )
    return text


class TlsConfig(Section):
    """Encrypts the connection. Both files are in PEM form."""

    certificate: ConfigPath
    """The certificate, followed by those of the authorities between it and the root."""
    key: ConfigPath
    """Its private key, without a password. Only the page's user may read it."""


class WebConfig(Section):
    """Everything `inspectd serve web` needs to know."""

    line: ConfigPath
    """The config file of the line that the page shows, such as /etc/inspectd/line.yaml."""
    state: ConfigPath = Path("/var/lib/inspectd-web")
    """The folder in which the page keeps its users, its audit trail, the reviews and the engines that were learned."""
    host: Annotated[str, AfterValidator(ip)] = "127.0.0.1"
    """The IP address at which the page listens. 127.0.0.1: only browsers on this computer. 0.0.0.0: all that reach it."""
    port: int = Field(default=8440, ge=0, le=65_535)
    """The port at which the page listens. 0: any free port, which the log names."""
    tls: TlsConfig | None = None
    """Certificate and key, if the page itself encrypts the connection."""
    public_url: Annotated[str, AfterValidator(_url)] | None = None
    """What people type to get to the page, such as https://line-3.plant.example, if it has a name or is behind a proxy."""
    behind_proxy: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """The addresses of the proxies through which people get to the page. They say who asks (X-Forwarded-For)."""
    insecure_http: bool = False
    """Accepts that passwords cross the network without encryption. Anybody in this network can read them."""
    anonymous_viewer: bool = False
    """Whether people may look without a login. They can't change anything."""
    idle_minutes: int = Field(default=60, ge=1, le=1440)
    """A session ends when its user has done nothing for so long. An open page that only shows the line does nothing."""
    session_hours: int = Field(default=12, ge=1, le=168)
    """A session ends so long after the login."""
    audit_share: float = Field(default=0.01, ge=0, le=1)
    """The share of passed labels with an image that Review shows, chosen at random: they show what the line passes wrongly."""
    shifts: tuple[TimeOfDay, ...] = Field(default=("06:00", "14:00", "22:00"), min_length=1, max_length=24)
    """When the shifts begin, in local time, in quotes: ["06:00", "14:00", "22:00"]. Line and Reports count per shift."""

    @model_validator(mode="after")
    def _no_passwords_in_the_clear(self) -> Self:
        if self.behind_proxy and self.public_url is None:
            raise ValueError("public_url: missing; behind_proxy needs it: what do people type to get to the page?")
        if self.insecure_http:
            return self
        if not self.encrypts and self.public_url is not None:
            raise ValueError(
                f"public_url: {shown(self.public_url)}: passwords would cross the network without encryption; write "
                "https://, or insecure_http: true"
            )
        if not ip_address(self.host).is_loopback and self.tls is None and not self.behind_proxy:
            raise ValueError(
                f"host: {shown(self.host)}: passwords would cross the network without encryption; add tls, or behind_proxy "
                "with the address of a proxy that encrypts, or insecure_http: true"
            )
        return self

    @property
    def shift_begins(self) -> tuple[time, ...]:
        return tuple(map(time.fromisoformat, self.shifts))

    @property
    def encrypts(self) -> bool:
        """Whether browsers come over https, so that they may send the session's cookie over nothing else."""
        return self.tls is not None if self.public_url is None else self.public_url.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """Its name. With the prefix, browsers take it only over https and only from this host (RFC 6265bis)."""
        return "__Host-inspectd_session" if self.encrypts else "inspectd_session"


def page_schema() -> str:
    """JSON schema of the page's config file, for editors."""
    return json.dumps(WebConfig.model_json_schema(), indent=2)


def load_web_config(path: Path) -> WebConfig:
    """Read and check the page's config.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    return checked(WebConfig, read_yaml(path, "'line' and 'port'"), path)
