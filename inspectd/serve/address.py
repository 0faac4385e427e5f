"""Addresses at which pages and bridges listen, as their config files name them."""

import socket
from ipaddress import ip_address

from inspectd.errors import ConfigError


def ip(text: str) -> str:
    """Raises ValueError unless it is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        raise ValueError(
            "must be an IP address: 127.0.0.1 for this computer only, 0.0.0.0 for all that reach it"
        ) from None
    return text


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens there. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise ConfigError(f"host, port: can't listen at {host}:{port}: {error.strerror or error}") from error
