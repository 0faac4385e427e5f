"""A network camera: an RTSP server (RFC 2326, interleaved TCP) that plays uncompressed video (RFC 4175), pixel for pixel."""

import contextlib
import itertools
import socket
import struct
import threading
import time

from inspectd.part import Image

_PACKET_BYTES = 4096
_RTP_CLOCK_HZ = 90_000


class RtspPeer:
    """Plays `images` (h, w, 3 BGR, all of one size) round and round at `rate_hz`, from the first, to each client."""

    def __init__(self, images: list[Image], rate_hz: float) -> None:
        self._images = images
        self._period_s = 1 / rate_hz
        self._plays = threading.Event()
        self._plays.set()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/live"

    def hang(self) -> None:
        """Stay connected and send nothing more."""
        self._plays.clear()

    def resume(self) -> None:
        self._plays.set()

    def hang_up(self) -> None:
        """Cut every connection; new ones are served."""
        while self._connections:
            with contextlib.suppress(OSError):  # the client hung up before
                self._connections.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing.set()
        self._plays.set()
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests:
            try:
                while (method := self._answer(connection, requests)) != "PLAY":
                    if method is None:
                        return
                self._play(connection)
            except OSError:
                return

    def _answer(self, connection: socket.socket, requests: object) -> str | None:
        lines = list(itertools.takewhile(lambda line: line.strip(), iter(requests.readline, b"")))
        if not lines:
            return None
        method = lines[0].split()[0].decode()
        headers = dict(line.decode().strip().split(": ", 1) for line in lines[1:])
        extra, body = self._reply(method, headers)
        head = [f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\nContent-Length: {len(body)}", *extra]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())
        return method

    def _reply(self, method: str, headers: dict[str, str]) -> tuple[list[str], str]:
        if method == "OPTIONS":
            return ["Public: OPTIONS, DESCRIBE, SETUP, PLAY"], ""
        if method == "DESCRIBE":
            height, width = self._images[0].shape[:2]
            return ["Content-Type: application/sdp"], (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=peer\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                f"a=rtpmap:96 raw/{_RTP_CLOCK_HZ}\r\na=framerate:{1 / self._period_s}\r\n"
                f"a=fmtp:96 sampling=BGR; width={width}; height={height}; depth=8; colorimetry=SMPTE240M\r\n"
                "a=control:track\r\n"
            )
        if method == "SETUP":
            return ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"], ""
        return ["Session: 1"], ""

    def _play(self, connection: socket.socket) -> None:
        sequence = itertools.count()
        start_s = time.monotonic()
        for number in itertools.count():
            self._plays.wait()
            if self._closing.is_set():
                return
            time.sleep(max(0.0, start_s + number * self._period_s - time.monotonic()))
            timestamp = round(number * self._period_s * _RTP_CLOCK_HZ) & 0xFFFFFFFF
            image = self._images[number % len(self._images)]
            for packet in _packets(image, sequence, timestamp):
                connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)


def _packets(image: Image, sequence: "itertools.count[int]", timestamp: int) -> list[bytes]:
    """RFC 4175 section 4: one line segment a packet; the marker bit ends the frame."""
    height, width = image.shape[:2]
    step = _PACKET_BYTES // 3
    segments = [(row, x, min(step, width - x)) for row in range(height) for x in range(0, width, step)]
    packets = []
    for place, (row, x, n_px) in enumerate(segments):
        number = next(sequence)
        marker = 0x80 if place == len(segments) - 1 else 0
        rtp = struct.pack(">BBHII", 0x80, 96 | marker, number & 0xFFFF, timestamp, 1)
        line = struct.pack(">HHHH", number >> 16 & 0xFFFF, n_px * 3, row, x)
        packets.append(rtp + line + image[row, x : x + n_px].tobytes())
    return packets
