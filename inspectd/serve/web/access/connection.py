"""One connection of a browser. It may not take long to say what it wants."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_WHOLE_REQUEST_WITHIN_S = 15.0


class Connection(H11Protocol):
    """uvicorn's own, with a time limit from the first byte of a request to its last."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._limit: asyncio.TimerHandle | None = None
        self._set_limit()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._clear_limit()
        elif self._limit is None:
            self._set_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_limit()
        super().connection_lost(exc)

    def _set_limit(self) -> None:
        self._limit = self.loop.call_later(_WHOLE_REQUEST_WITHIN_S, self.transport.abort)

    def _clear_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
