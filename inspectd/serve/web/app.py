"""The web application: its routes, and what happens to every request before a page sees it.

Each request gets security headers, passes `RequestChecks`, and gets the session's user and CSRF token. `access.needs`
then decides.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspectd.errors import AccountError, AuditError, InspectdError, JournalError, StoreError
from inspectd.serve.web.access.request_checks import RequestChecks
from inspectd.serve.web.access.roles import Role, User
from inspectd.serve.web.live import events
from inspectd.serve.web.live.poller import Live
from inspectd.serve.web.pages import engines, export, images, line, login, part, password, reports, review, setup, users
from inspectd.serve.web.pages.errors import HEADINGS, error_page
from inspectd.serve.web.site import FOLDER, Site

log = structlog.get_logger()

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any referrer, browsers would not say from which site a form comes
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SESSION_CHECK_S = 1.0


def make_app(site: Site) -> Starlette:
    """The application of one site."""
    routes: list[BaseRoute] = [
        *engines.routes,
        *events.routes,
        *export.routes,
        *images.routes,
        *line.routes,
        *login.routes,
        *part.routes,
        *password.routes,
        *reports.routes,
        *review.routes,
        *setup.routes,
        *users.routes,
        Mount("/static", StaticFiles(directory=FOLDER / "static"), name="static"),
    ]
    live = Live(site.line, site.config.shift_begins, site.reviews)

    @asynccontextmanager
    async def while_served(_: Starlette) -> AsyncIterator[None]:
        yield
        live.close()

    app = Starlette(
        routes=routes,
        lifespan=while_served,
        middleware=[
            Middleware(_SecurityHeaders),
            Middleware(RequestChecks, config=site.config),
            Middleware(_Failures),
            Middleware(_Session, site=site),
        ],
        exception_handlers={HTTPException: _http_error, InspectdError: _said},
    )
    app.state.site = site
    app.state.one_report = CapacityLimiter(1)
    app.state.one_login = CapacityLimiter(1)
    app.state.live = live
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_page(request, error.status_code, HEADINGS.get(error.status_code, str(error.detail)) + ".")


async def _said(request: Request, error: Exception) -> Response:
    """An error that was raised on purpose: its message is for people."""
    if isinstance(error, AccountError):
        return error_page(request, 400, f"{_sentence(error)} Nothing was changed.")
    if isinstance(error, AuditError | StoreError):
        log.error("the page can't use its own files", error=str(error))
        return error_page(
            request, 503, f"{_sentence(error)} Nothing was changed.", "The page can't use its own files now"
        )
    if isinstance(error, JournalError):
        return error_page(request, 503, _sentence(error))
    raise error


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


class _Failures:
    """A fault of the page is answered and logged. The log has the place in the code, and nothing that a user has typed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        scope.setdefault("state", {}).update(user=None, csrf="", session="")
        try:
            await self._app(scope, receive, noted)
        except Exception:
            if scope["type"] != "http":
                raise
            log.exception("the page has failed", path=scope["path"])
            if has_begun:
                raise
            sentence = "This is a fault of the page. The line goes on, and labels are inspected as before."
            await error_page(Request(scope), 500, sentence)(scope, receive, send)


class _SecurityHeaders:
    """OWASP Secure Headers. Nothing is cached but files that never change."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _SessionHasEnded(Exception):
    """While an answer was sent that goes on and on."""


class _Session:
    """Puts the user into `request.state.user` (None: nobody), and the token that forms must send back into `csrf`."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope)
        token = request.cookies.get(self._site.config.session_cookie, "")
        request.state.session = token
        request.state.csrf = self._site.csrf_token(token)
        try:
            request.state.user = self._user(token, is_use=request.url.path != review.NEW)
        except StoreError as error:
            return await (await _said(request, error))(scope, receive, send)
        if request.state.user is not None and request.state.user.name:
            send = self._until_the_session_ends(token, send)
        try:
            await self._app(scope, receive, send)
        except _SessionHasEnded:
            log.info("a session has ended while its page was open")

    def _user(self, token: str, *, is_use: bool) -> User | None:
        user = self._site.accounts.user(token, now_s=time.monotonic(), is_use=is_use)
        return User("", Role.VIEWER) if user is None and self._site.config.anonymous_viewer else user

    def _until_the_session_ends(self, token: str, send: Send) -> Send:
        """A stream of events goes on for hours: its session may end before it does."""
        checked_s = time.monotonic()

        async def guarded(message: Message) -> None:
            nonlocal checked_s
            now_s = time.monotonic()
            if message.get("more_body", False) and now_s - checked_s >= _SESSION_CHECK_S:
                checked_s = now_s
                if self._site.accounts.user(token, now_s=now_s, is_use=False) is None:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    raise _SessionHasEnded
            await send(message)

        return guarded
