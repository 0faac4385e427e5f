"""What every page of one site uses. It is made once, when the process starts."""

import functools
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from inspectd.records.audit import AuditTrail, Detail
from inspectd.records.reviews import Reviews
from inspectd.serve.line_facts import LineFacts
from inspectd.serve.web.config import WebConfig
from inspectd.serve.web.jobs import Jobs
from inspectd.serve.web.line_file import LineFile

if TYPE_CHECKING:
    from inspectd.serve.web.access.accounts import Accounts

FOLDER = Path(__file__).parent
TEMPLATES = Jinja2Templates(FOLDER / "templates")
TEMPLATES.env.filters["clock"] = lambda unix_s: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


@dataclass(frozen=True, slots=True)
class Site:
    """The page's settings, the line that it shows, and what the page keeps."""

    config: WebConfig
    line: LineFacts
    accounts: "Accounts"
    audit: AuditTrail
    line_file: LineFile
    jobs: Jobs = field(default_factory=Jobs)
    csrf_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def reviews(self) -> Reviews:
        """What reviewers said. Raises ReviewError: the other pages work without it."""
        return _reviews(self.config.state / "reviews")

    def csrf_token(self, cookie: str) -> str:
        """What the forms of a browser with this cookie must send back; "" without a cookie, and that is never right."""
        return hmac.new(self.csrf_key, cookie.encode(), hashlib.sha256).hexdigest() if cookie else ""


@functools.cache
def _reviews(folder: Path) -> Reviews:
    return Reviews(folder)


def site_of(request: Request) -> Site:
    """The site that a request asks for a page of."""
    site: Site = request.app.state.site
    return site


def address_of(request: Request) -> str:
    """The IP address that asks: behind a proxy that the config names, the one that the proxy says."""
    return request.client.host if request.client else ""


async def record_action(request: Request, action: str, detail: Mapping[str, Detail]) -> None:
    """Write down who does what, before it is done. Waits for the disk in a thread, so other pages go on.

    Raises AuditError: then the action must not be done, and the page says so by itself.
    """
    append = site_of(request).audit.append
    await to_thread.run_sync(append, request.state.user.name, action, detail, address_of(request))


def render(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """A page from `templates/`. Every page gets `site`, `user`, `csrf` and `live` beside `values`."""
    context = {
        "site": site_of(request),
        "user": request.state.user,
        "csrf": request.state.csrf,
        "live": request.app.state.live,
        **values,
    }
    return TEMPLATES.TemplateResponse(request, template, context, status_code=status)
