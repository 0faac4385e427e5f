"""Readers of the page's events that are no browser: `python -m inspectd_tools.benchmarks.page.readers URL COUNT`.

Each has its own connections. It reads `/events`, and fetches each new picture of a part, as an open page does.
"""

import asyncio
import re
import sys
from urllib.parse import urlsplit

_PICTURE = re.compile(rb"/images/\d+[^\"\\ <>&]*")


async def _follow(host: str, port: int) -> None:
    seen = b""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /events HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
    while data := await reader.read(1 << 20):
        if (found := _PICTURE.findall(data)) and found[-1] != seen:
            seen = found[-1]
            await _fetch(host, port, seen)
    raise SystemExit("the page has ended the events")


async def _fetch(host: str, port: int, path: bytes) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n" % (path, host.encode(), port))
    answer = await reader.read()
    writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{path.decode()}: {answer[:100]!r}")


async def _main(url: str, count: int) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    await asyncio.gather(*(_follow(parts.hostname, parts.port) for _ in range(count)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
