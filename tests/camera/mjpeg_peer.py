"""A network camera that speaks HTTP: JPEGs in multipart/x-mixed-replace, as most do."""

import socket
import threading
import time
from collections.abc import Iterable

import cv2

from inspectd.part import Image

_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"


class MjpegPeer:
    """Each client gets every picture of `pictures` at 50/s; a number there is a pause of so many seconds."""

    def __init__(self, pictures: Iterable[Image | float]) -> None:
        self._pictures = pictures
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, login: str = "", query: str = "") -> str:
        return f"http://{login}127.0.0.1:{self._listener.getsockname()[1]}/video{query}"

    def __enter__(self) -> "MjpegPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(4096)
                connection.sendall(_HEAD)
                for picture in self._pictures:
                    if isinstance(picture, float):
                        time.sleep(picture)
                        continue
                    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
                    head = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                    connection.sendall(head + jpeg + b"\r\n")
                    time.sleep(0.02)
            except OSError:
                return
