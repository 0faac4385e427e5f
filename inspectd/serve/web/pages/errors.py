"""Pages that say what went wrong, and that labels are inspected all the same."""

from starlette.requests import Request
from starlette.responses import Response

from inspectd.serve.web.site import render

HEADINGS = {
    400: "This request can't be used",
    401: "Please log in",
    403: "Not allowed",
    404: "This page does not exist",
    405: "This page does not do that",
    409: "Not now",
    413: "This request is too large",
    429: "Too many attempts",
    500: "This page has failed",
    503: "The journal can't be read now",
}


def error_page(request: Request, status: int, sentence: str, heading: str | None = None) -> Response:
    """A page with one sentence that says what happened and what to do."""
    return render(request, "error.html", status, heading=heading or HEADINGS.get(status, "Error"), sentence=sentence)
