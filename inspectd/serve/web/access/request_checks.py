"""What every request must fulfil before a page sees it: it comes from this site's pages, and its body is small and quick."""

import asyncio
from ipaddress import ip_address
from socket import gethostname
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspectd.serve.web.config import WebConfig

READS = ("GET", "HEAD", "OPTIONS")
LARGEST_BODY = 256 * 1024
_LONGEST_PATH = 1000
"""Python refuses to read a number of more than 4300 digits."""
_BODY_WITHIN_S = 10.0


class RequestChecks:
    """Answers a request that fails a check with one sentence."""

    def __init__(self, app: ASGIApp, config: WebConfig) -> None:
        self._app = app
        self._public = urlsplit(config.public_url or "")
        self._names = {"localhost", gethostname().lower(), self._public.hostname}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if not self._is_ours(headers.get("host", "")):
                sentence = (
                    "This page does not know the name with which you asked for it. If it is right, set public_url."
                )
                return await _refuse(421, sentence, scope, receive, send)
            if len(scope["path"]) > _LONGEST_PATH:
                return await _refuse(414, "This address is too long.", scope, receive, send)
            if scope["method"] not in READS:
                if self._is_from_elsewhere(headers):
                    return await _refuse(403, "This request comes from another site.", scope, receive, send)
                try:
                    body = await asyncio.wait_for(_body(receive), _BODY_WITHIN_S)
                except TimeoutError:
                    return await _refuse(408, "This request took too long.", scope, receive, send)
                if body is None:
                    return await _refuse(413, "This request is too large.", scope, receive, send)
                receive = _again(body, receive)
        await self._app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        """Another name may lead to this computer by a trick (DNS rebinding). An address can't be made to lead elsewhere."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._names or bool(ip_address(name))
        except ValueError:
            return False

    def _is_from_elsewhere(self, headers: Headers) -> bool:
        """By what a browser says. Programs that are not browsers say nothing, and nobody can make them ask unknowingly."""
        origin = headers.get("origin")
        is_ours = origin is None or origin.partition("://")[2] in {headers["host"].lower(), self._public.netloc} - {""}
        return not is_ours or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Delivers the body that was received already, and then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received


async def _refuse(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"{sentence} Nothing was changed.\n", status)(scope, receive, send)
