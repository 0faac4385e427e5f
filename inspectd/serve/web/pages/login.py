"""Log in and out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.serve.web.access import Role, needs
from inspectd.serve.web.site import render, site_of

SESSION_COOKIE = "inspectd_session"


async def login_form(request: Request) -> Response:
    return render(request, "login.html", next=_safe(request.query_params.get("next", "/")))


async def login(request: Request) -> Response:
    form = await request.form()
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    token = site_of(request).accounts.login(name, password)
    if token is None:
        return render(
            request, "login.html", 401, next=_safe(str(form.get("next", "/"))), problem="Name or password is wrong."
        )
    response = RedirectResponse(_safe(str(form.get("next", "/"))), status_code=303)
    response.set_cookie(SESSION_COOKIE, token, httponly=True, samesite="strict")
    return response


@needs(Role.VIEWER)
async def logout(request: Request) -> Response:
    site_of(request).accounts.logout(request.state.session)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(SESSION_COOKIE)
    return response


def _safe(path: str) -> str:
    """Only paths of this site: a link must not lead a user elsewhere after the login."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


routes = [
    Route("/login", login_form, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
]
