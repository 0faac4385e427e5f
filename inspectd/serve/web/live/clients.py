"""The pages that are open, each with a short queue of messages. A page that is too slow is sent away, and comes back by itself."""

import asyncio
import threading
from collections import Counter

LIMIT = 50
"""So many pages at once. When all are taken, the next one takes the place of a page of the computer that has the most."""
_WAITING = 32


class Client:
    """One page. Its loop takes messages from `queue` until it gets None."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.queue = asyncio.Queue[bytes | None](_WAITING)
        self.loop = asyncio.get_running_loop()
        self._is_sent_away = False

    def offer(self, message: bytes) -> None:
        """In the loop's thread."""
        if self._is_sent_away:
            return
        if self.queue.full():  # what waits is old by now: the page comes back and begins anew
            self.send_away()
        else:
            self.queue.put_nowait(message)

    def send_away(self) -> None:
        """In the loop's thread."""
        self._is_sent_away = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Clients:
    """All of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[Client, None] = {}
        """In the order in which they came."""

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, address: str) -> Client | None:
        """A new client of the running loop; None if there are too many, and no other computer has more of them."""
        client = Client(address)
        with self._lock:
            if len(self._clients) >= LIMIT:
                pages = Counter(each.address for each in self._clients)
                most = max(pages, key=pages.__getitem__)
                if pages[most] <= pages[address] + 1:
                    return None
                oldest = next(each for each in self._clients if each.address == most)
                del self._clients[oldest]
                oldest.send_away()
            self._clients[client] = None
        return client

    def leave(self, client: Client) -> None:
        with self._lock:
            self._clients.pop(client, None)

    def publish(self, message: bytes) -> None:
        """To all, from any thread. Never waits."""
        with self._lock:
            clients = tuple(self._clients)
        for client in clients:
            try:
                client.loop.call_soon_threadsafe(client.offer, message)
            except RuntimeError:  # its loop has ended
                self.leave(client)
