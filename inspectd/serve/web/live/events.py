"""`GET /events`: what a page shows, as server-sent events (WHATWG HTML, section 9.2).

The first event of a connection, `state`, holds all that a page shows, so a page that was away misses nothing: no row is sent
again. `news` holds what has changed since the event before. `beat` comes if there is nothing else for a second. Each says
how old the page's look at the journal is. The event's id is `<journal>-<change number>`.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.live.clients import LIMIT, Client
from inspectd.serve.web.live.poller import Live, live_of
from inspectd.serve.web.site import address_of

_MEDIA_TYPE = "text/event-stream"
_AT_ONCE = {"X-Accel-Buffering": "no"}
"""nginx would hold events back."""
_BEAT_S = 1.0
_AGAIN_MS = 1000
_AGAIN_WHEN_FULL_MS = 10_000


@needs(Role.VIEWER)
async def events(request: Request) -> Response:
    if request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPE)
    live = live_of(request)
    client = live.clients.join(address_of(request))
    if client is None:
        said = f"More than {LIMIT} pages are open. Close one; this page tries again."
        text = f"retry: {_AGAIN_WHEN_FULL_MS}\nevent: refused\ndata: {json.dumps(said)}\n\n"
        return Response(text, media_type=_MEDIA_TYPE, headers=_AT_ONCE)
    return StreamingResponse(_stream(live, client), media_type=_MEDIA_TYPE, headers=_AT_ONCE)


async def _stream(live: Live, client: Client) -> AsyncIterator[bytes]:
    """Ends when the client is too slow. The session's end ends the answer."""
    try:
        live.asker.again()  # while no page was open, nobody asked
        await live.first_look()
        yield f"retry: {_AGAIN_MS}\n\n".encode()
        yield live.whole()
        while True:
            try:
                async with asyncio.timeout(_BEAT_S):
                    message = await client.queue.get()
            except TimeoutError:
                message = live.beat()
            if message is None:
                return
            yield message
    finally:
        live.clients.leave(client)


routes = [Route("/events", events, methods=["GET"])]
