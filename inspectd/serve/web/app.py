"""The web application: its routes, and what happens to every request before a page sees it.

Each request gets: security headers, the session's user, and the CSRF token of the session. `access.needs` then decides.
"""

import hashlib

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspectd.serve.web.access import Role, User
from inspectd.serve.web.pages import line, login, setup
from inspectd.serve.web.pages.errors import HEADINGS, error_page
from inspectd.serve.web.pages.login import SESSION_COOKIE
from inspectd.serve.web.site import FOLDER, Site

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(site: Site) -> Starlette:
    """The application of one site."""
    routes: list[BaseRoute] = [
        *line.routes,
        *login.routes,
        *setup.routes,
        Mount("/static", StaticFiles(directory=FOLDER / "static"), name="static"),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_SecurityHeaders), Middleware(_Session, site=site)],
        exception_handlers={HTTPException: _http_error, Exception: _failure},
    )
    app.state.site = site
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_page(request, error.status_code, HEADINGS.get(error.status_code, str(error.detail)) + ".")


async def _failure(request: Request, error: Exception) -> Response:
    return error_page(
        request, 500, "This is a fault of the page. The line goes on, and labels are inspected as before."
    )


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


class _Session:
    """Puts the user into `request.state.user` (None: nobody), and the token that forms must send back into `csrf`."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = HTTPConnection(scope).cookies.get(SESSION_COOKIE, "")
            user = self._site.accounts.user(token)
            if user is None and self._site.config.anonymous_viewer:
                user = User("", Role.VIEWER)
            state = scope.setdefault("state", {})
            state["user"] = user
            state["session"] = token
            state["csrf"] = hashlib.sha256(f"csrf {token}".encode()).hexdigest()
        await self._app(scope, receive, send)
