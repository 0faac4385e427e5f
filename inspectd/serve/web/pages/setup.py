"""Set-up: what the config says, key by key, and whether everything that the line needs is there. Nothing is changed here."""

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.errors import ConfigError
from inspectd.serve.web.access import Role, needs
from inspectd.serve.web.command import CommandError, inspectd
from inspectd.serve.web.config import WebConfig
from inspectd.serve.web.jobs import BusyError
from inspectd.serve.web.key_list import key_list
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.site import render, site_of

CHECK = "check the line"
_CHECK_WITHIN_S = 120
_FAILED = 1
"""Exit code of a check that has found something."""


@needs(Role.VIEWER)
async def setup(request: Request) -> Response:
    site = site_of(request)
    own = key_list(site.config.model_dump(mode="json"), WebConfig.model_json_schema())
    return render(request, "setup.html", own=own, job=site.jobs.last.get(CHECK))


@needs(Role.VIEWER)
async def config(request: Request) -> Response:
    """The part of the page that takes a second: the config as the file has it now."""
    site = site_of(request)
    try:
        said = await site.line_file.read()
    except (ConfigError, CommandError) as error:
        known = key_list(site.line.config, site.line.schema)
        return render(request, "setup_config.html", keys=known, problem=str(error), changed_s=None)
    keys = key_list(said.config, said.schema)
    return render(request, "setup_config.html", keys=keys, problem="", changed_s=said.changed_s)


@needs(Role.VIEWER)
async def last_check(request: Request) -> Response:
    """The part of the page that follows a check while it runs."""
    return render(request, "setup_check.html", job=site_of(request).jobs.last.get(CHECK))


@needs(Role.ENGINEER)
async def check(request: Request) -> Response:
    site = site_of(request)
    try:
        site.jobs.start(CHECK, request.state.user.name, lambda _: _findings(site.line.file))
    except BusyError as error:
        return error_page(request, 409, str(error))
    return RedirectResponse("/setup", status_code=303)


async def _findings(file: Path) -> Any:
    """Raises CommandError."""
    done = await inspectd("check", "--look-only", "--json", "--config", str(file), within_s=_CHECK_WITHIN_S)
    if done.code not in (0, _FAILED):
        raise CommandError(done.complaint)
    return done.json()


routes = [
    Route("/setup", setup, methods=["GET"]),
    Route("/setup/config", config, methods=["GET"]),
    Route("/setup/check", last_check, methods=["GET"]),
    Route("/setup/check", check, methods=["POST"]),
]
