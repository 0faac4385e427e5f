"""Users change their own password."""

import time
from functools import partial

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.errors import AccountError
from inspectd.records.passwords import LONGEST, SHORTEST
from inspectd.serve.web.access.accounts import LoginRefusedError
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.pages.login import MOST_WAITING, set_cookie
from inspectd.serve.web.site import address_of, render, site_of


@needs(Role.VIEWER)
async def form(request: Request) -> Response:
    if not request.state.user.name:
        return RedirectResponse("/login?next=/password", status_code=303)
    return _form(request, 200)


@needs(Role.VIEWER)
async def change(request: Request) -> Response:
    sent, site, user = await request.form(), site_of(request), request.state.user
    if not user.name:
        return _form(request, 401, "Log in first. Nothing was changed.")
    if sent.get("new") != sent.get("again"):
        return _form(request, 400, "The two new passwords are not the same. Nothing was changed.")
    one_at_a_time: CapacityLimiter = request.app.state.one_login
    if one_at_a_time.statistics().tasks_waiting >= MOST_WAITING:
        return _form(request, 429, "Many people are logging in. Try again in a few seconds.")
    changed = partial(
        site.accounts.change_password,
        user.name,
        str(sent.get("old", "")),
        str(sent.get("new", "")),
        address_of(request),
        now_utc_s=time.time(),
        now_s=time.monotonic(),
    )
    try:
        token = await to_thread.run_sync(changed, limiter=one_at_a_time)
    except LoginRefusedError as error:
        return _form(request, 403 if error.may_try_now else 429, str(error))
    except AccountError as error:
        return _form(request, 400, f"{str(error)[:1].upper()}{str(error)[1:]}. Nothing was changed.")
    site.accounts.logout(request.state.session)
    request.state.csrf = site.csrf_token(token)
    response = _form(request, 200, is_done=True)
    set_cookie(response, site, token)
    return response


def _form(request: Request, status: int, problem: str | None = None, *, is_done: bool = False) -> Response:
    return render(
        request, "password.html", status, problem=problem, is_done=is_done, shortest=SHORTEST, longest=LONGEST
    )


routes = [Route("/password", form, methods=["GET"]), Route("/password", change, methods=["POST"])]
