"""Reports: a shift, a day, a week or any range in figures, to read or to print."""

from datetime import datetime, timedelta

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd.errors import InspectdError
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.live.shown import causes
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.report import SPANS, make_report, read_range
from inspectd.serve.web.site import render, site_of


@needs(Role.VIEWER)
async def reports(request: Request) -> Response:
    site = site_of(request)
    now = datetime.now()
    try:
        asked = read_range(dict(request.query_params), site.config.shift_begins, now)
    except ValueError as error:
        return error_page(request, 400, f"{error}.")
    try:
        # one at a time: many open pages must not take the computer from the line
        report = await to_thread.run_sync(make_report, site, asked, limiter=request.app.state.one_report)
    except InspectdError as error:
        return error_page(request, 503, f"{error}.")
    return render(
        request,
        "reports.html",
        report=report,
        causes=causes(report.rejects, 20),
        spans=SPANS[:-1],
        now=now,
        last_day=(asked.until - timedelta(minutes=1)).date(),
    )


routes = [Route("/reports", reports, methods=["GET"])]
