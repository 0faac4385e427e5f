"""One connection of a browser. It may not take long to say what it wants, and one computer may not take all connections."""

import asyncio
from collections import Counter
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_WHOLE_REQUEST_WITHIN_S = 15.0
_MOST_PER_ADDRESS = 64


class Connection(H11Protocol):
    """uvicorn's own, with a time limit from the first byte of a request to its last, and a limit per address."""

    _of_address: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        self._of_address[self._address] += 1
        self._limit: asyncio.TimerHandle | None = None
        if self._of_address[self._address] > _MOST_PER_ADDRESS and not self._is_a_proxy():
            transport.abort()
        self._set_limit()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._clear_limit()
        elif self._limit is None:
            self._set_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_limit()
        self._of_address[self._address] -= 1
        if not self._of_address[self._address]:
            del self._of_address[self._address]
        super().connection_lost(exc)

    def _is_a_proxy(self) -> bool:
        if not self.config.proxy_headers:
            return False
        address = ip_address(self._address)
        return any(address in ip_network(proxy) for proxy in self.config.forwarded_allow_ips or ())

    def _set_limit(self) -> None:
        self._limit = self.loop.call_later(_WHOLE_REQUEST_WITHIN_S, self.transport.abort)

    def _clear_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
