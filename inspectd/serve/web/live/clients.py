"""The pages that are open, each with a short queue of messages. A page that is too slow is sent away, and comes back by itself."""

import asyncio
import threading

LIMIT = 50
"""More pages than this are refused."""
_WAITING = 32


class Client:
    """One page. Its loop takes messages from `queue` until it gets None."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[bytes | None](_WAITING)
        self.loop = asyncio.get_running_loop()
        self._is_sent_away = False

    def offer(self, message: bytes) -> None:
        """In the loop's thread."""
        if self._is_sent_away:
            return
        if self.queue.full():  # what waits is old by now: the page comes back and begins anew
            self._is_sent_away = True
            while not self.queue.empty():
                self.queue.get_nowait()
        self.queue.put_nowait(None if self._is_sent_away else message)


class Clients:
    """All of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    def join(self) -> Client | None:
        """A new client of the running loop; None if there are too many."""
        client = Client()
        with self._lock:
            if len(self._clients) >= LIMIT:
                return None
            self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        with self._lock:
            self._clients.discard(client)

    def publish(self, message: bytes) -> None:
        """To all, from any thread. Never waits."""
        with self._lock:
            clients = tuple(self._clients)
        for client in clients:
            try:
                client.loop.call_soon_threadsafe(client.offer, message)
            except RuntimeError:  # its loop has ended
                self.leave(client)
