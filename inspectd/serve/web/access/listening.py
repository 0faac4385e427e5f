"""The socket at which the page listens. One computer may not take all connections, also before TLS has begun.

Without this, a thousand connections that say nothing would use up the files that the process may open, and asyncio would then
write thousands of lines a second into the log.
"""

import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

_MOST = 256
_MOST_PER_ADDRESS = 64


class Listening(socket.socket):
    """Closes at once what is too much. `proxies`: addresses and networks that may have as many as there are."""

    def __init__(self, listening: socket.socket, proxies: Sequence[str]) -> None:
        """Takes over the socket `listening`."""
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._proxies = [ip_network(each) for each in proxies]
        self._open: list[tuple[socket.socket, str]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError if the connection was closed again; asyncio goes on then."""
        connection, peer = super().accept()
        self._open = [each for each in self._open if each[0].fileno() >= 0]
        of_address = sum(address == peer[0] for _, address in self._open)
        if len(self._open) >= _MOST or (of_address >= _MOST_PER_ADDRESS and not self._is_a_proxy(peer[0])):
            connection.close()
            raise ConnectionAbortedError
        self._open.append((connection, peer[0]))
        return connection, peer

    def _is_a_proxy(self, address: str) -> bool:
        return any(ip_address(address) in proxy for proxy in self._proxies)
