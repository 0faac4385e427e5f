"""Set-up: what the config says, key by key, whether everything that the line needs is there, and what labels must say now.

The config itself is not changed here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.control.client import ask
from inspectd.errors import ConfigError, ControlError, RefusedError
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.command import CommandError, inspectd
from inspectd.serve.web.config import WebConfig
from inspectd.serve.web.jobs import BusyError
from inspectd.serve.web.key_list import key_list
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.site import record_action, render, site_of

CHECK = "check the line"
_CHECK_WITHIN_S = 120
_FAILED = 1
"""Exit code of a check that has found something."""


@needs(Role.VIEWER)
async def setup(request: Request) -> Response:
    return _page(request)


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


@needs(Role.ENGINEER)
async def expect(request: Request) -> Response:
    """Tell the running line what the next labels must say. Fields that were left empty keep their value."""
    site = site_of(request)
    form = await request.form()
    values: dict[str, str | None] = {}
    for name in told_fields(site.line.config):
        if form.get(f"no-value {name}"):
            values[name] = None
        elif value := str(form.get(f"value {name}", "")).strip():
            values[name] = value
    if not values or site.line.control is None:
        return _page(request, 400, said="Nothing was told to the line: give the value of at least one field.")
    await record_action(request, "expect", values)
    try:
        await run_in_threadpool(ask, site.line.control, "expect", fields=values)
    except (ControlError, RefusedError) as error:
        return _page(request, 409, said=f"Nothing was changed. The line says: {error}.")
    told = ", ".join(f"{name}: {'no value is right' if value is None else value}" for name, value in values.items())
    return _page(request, said=f"The line has taken it. From the next label on, {told}.")


def told_fields(config: Mapping[str, Any]) -> list[str]:
    """The fields of text whose value people tell: those from `given`, and the first number of a counter."""
    fields = (config.get("text") or {}).get("fields", {})
    return [name for name, field in fields.items() if (field.get("expect") or {}).get("from") in ("given", "counter")]


def _page(request: Request, status: int = 200, said: str = "") -> Response:
    """`said`: what came of telling the line its texts."""
    site = site_of(request)
    own = key_list(site.config.model_dump(mode="json"), WebConfig.model_json_schema())
    told = told_fields(site.line.config) if site.line.control is not None else []
    return render(
        request,
        "setup.html",
        status,
        own=own,
        job=site.jobs.last.get(CHECK),
        told=told,
        said=said,
        is_problem=status >= 400,
    )


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
    Route("/setup/expect", expect, methods=["POST"]),
]
