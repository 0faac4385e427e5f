"""Log in and out."""

import secrets
import time
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.serve.web.access.accounts import LoginRefusedError
from inspectd.serve.web.access.roles import Role, has_token, needs
from inspectd.serve.web.site import Site, address_of, record_action, render, site_of

MOST_WAITING = 20


async def login_form(request: Request) -> Response:
    return _form(request, 200, str(request.query_params.get("next", "/")))


async def login(request: Request) -> Response:
    form, site = await request.form(), site_of(request)
    to = str(form.get("next", "/"))
    if not await has_token(request):
        return _form(request, 403, to, "This form is too old. Please log in again.")
    one_at_a_time: CapacityLimiter = request.app.state.one_login
    if one_at_a_time.statistics().tasks_waiting >= MOST_WAITING:
        return _form(request, 429, to, "Many people are logging in. Try again in a few seconds.")
    attempt = partial(
        site.accounts.login,
        str(form.get("name", "")),
        str(form.get("password", "")),
        address_of(request),
        now_utc_s=time.time(),
        now_s=time.monotonic(),
    )
    try:
        token = await to_thread.run_sync(attempt, limiter=one_at_a_time)
    except LoginRefusedError as error:
        return _form(request, 401 if error.may_try_now else 429, to, str(error))
    site.accounts.logout(request.state.session)
    response = RedirectResponse(_safe(to), status_code=303)
    set_cookie(response, site, token)
    return response


@needs(Role.VIEWER)
async def logout(request: Request) -> Response:
    site = site_of(request)
    if request.state.user.name:  # somebody without a login could fill the disk
        await record_action(request, "logout", {})
    site.accounts.logout(request.state.session)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(site.config.session_cookie, secure=site.config.encrypts, httponly=True, samesite="strict")
    return response


def _form(request: Request, status: int, to: str, problem: str | None = None) -> Response:
    """The form. Who has no session gets a cookie to which the form's token belongs, so that nobody logs a user in unasked."""
    site, cookie = site_of(request), ""
    if not request.state.csrf:
        cookie = secrets.token_urlsafe(32)
        request.state.csrf = site.csrf_token(cookie)
    response = render(
        request, "login.html", status, next=_safe(to), problem=problem, has_users=bool(site.accounts.users.all())
    )
    if cookie:
        set_cookie(response, site, cookie)
    return response


def set_cookie(response: Response, site: Site, value: str) -> None:
    response.set_cookie(
        site.config.session_cookie, value, httponly=True, samesite="strict", secure=site.config.encrypts
    )


def _safe(path: str) -> str:
    """Only paths of this site: a link must not lead a user elsewhere after the login."""
    is_path = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and " " not in path
    return path if is_path else "/"


routes = [
    Route("/login", login_form, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
]
