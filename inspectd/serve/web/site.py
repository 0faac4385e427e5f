"""What every page of one site uses. It is made once, when the process starts."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from inspectd.serve.web.config import WebConfig
from inspectd.serve.web.jobs import Jobs
from inspectd.serve.web.line_facts import LineFacts
from inspectd.serve.web.line_file import LineFile

if TYPE_CHECKING:
    from inspectd.serve.web.accounts import Accounts

FOLDER = Path(__file__).parent
_TEMPLATES = Jinja2Templates(FOLDER / "templates")
_TEMPLATES.env.filters["clock"] = lambda unix_s: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


@dataclass(frozen=True, slots=True)
class Site:
    """The page's settings, the line that it shows, and what the page keeps."""

    config: WebConfig
    line: LineFacts
    accounts: "Accounts"
    line_file: LineFile
    jobs: Jobs = field(default_factory=Jobs)


def site_of(request: Request) -> Site:
    """The site that a request asks for a page of."""
    site: Site = request.app.state.site
    return site


def render(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """A page from `templates/`. Every page gets `site`, `user` and `csrf` beside `values`."""
    context = {
        "site": site_of(request),
        "user": request.state.user,
        "csrf": request.state.csrf,
        **values,
    }
    return _TEMPLATES.TemplateResponse(request, template, context, status_code=status)
