"""Who may do what: four roles, each of which may do all that the roles before it may."""

import functools
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from inspectd.records.users import Role
from inspectd.serve.web.access.request_checks import READS
from inspectd.serve.web.pages.errors import error_page

__all__ = ["Role", "User", "needs"]

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. `name` is "" for somebody without a login, if the config allows that."""

    name: str
    role: Role


Endpoint = Callable[[Request], Awaitable[Response]]


def needs(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Only users with at least this role get to the endpoint, and a request that changes something must carry the CSRF token.

    Others get the login page, or a refusal that says which role it needs.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def checked(request: Request) -> Response:
            user: User | None = request.state.user
            if user is None or (user.name == "" and user.role < role):
                if request.method in READS:
                    return RedirectResponse(f"/login?next={quote(request.url.path)}", status_code=303)
                return error_page(request, 401, "Log in first. Nothing was changed.")
            if user.role < role:
                return error_page(request, 403, f"This needs the role {role.name.lower()}. Nothing was changed.")
            if request.method not in READS and not await has_token(request):
                return error_page(
                    request, 403, "This request did not come from this page. Load it again. Nothing was changed."
                )
            return await endpoint(request)

        checked.role = role  # type: ignore[attr-defined]
        return checked

    return decorate


async def has_token(request: Request) -> bool:
    """OWASP: synchronizer token, in the header (scripts) or in a field (forms)."""
    token = request.headers.get(CSRF_HEADER)
    if token is None:
        token = str((await request.form()).get(CSRF_FIELD, ""))
    expected: str = request.state.csrf
    return bool(expected) and hmac.compare_digest(token.encode(errors="surrogatepass"), expected.encode())
