"""The first page: the line now."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd.serve.web.access import Role, needs
from inspectd.serve.web.site import render


@needs(Role.VIEWER)
async def line(request: Request) -> Response:
    return render(request, "line.html")


routes = [Route("/", line, methods=["GET"])]
