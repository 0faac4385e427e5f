"""Engines: what is active, its card, what else is there, learn from the reviews, activate, roll back, and the history."""

import functools
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from inspectd.errors import AuditError, ConfigError, JournalError, ReviewError
from inspectd.learning.wanted import wanted
from inspectd.records.audit import Entry
from inspectd.serve.line_now import LineNow
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.engines import work as engine_work
from inspectd.serve.web.engines.bundles import Bundle, Bundles, find_bundles
from inspectd.serve.web.engines.card import card, picture
from inspectd.serve.web.engines.history import EngineHistory
from inspectd.serve.web.jobs import BusyError, Job, Work
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.site import Site, record_action, render, site_of

LEARN = "learn from the reviews"
COMPARE = "compare two engines"
SWITCH = "switch the engine"
_ACTIONS = ("activate_engine", "roll_back_engine", "learn")
_MOST_REIGNS = 50
_LOOK_BACK = 1000
"""So many of the newest rows of the audit trail are searched for what was done with engines."""


@needs(Role.VIEWER)
async def engines(request: Request) -> Response:
    site = site_of(request)
    bundles = await run_in_threadpool(_find, site)
    try:
        counts, problem = await run_in_threadpool(lambda: site.reviews().counts()), ""
    except ReviewError as error:
        counts, problem = {}, str(error)
    missing = wanted(counts, bundles.active.facts.pass_class) if bundles.active and not problem else []
    return render(
        request,
        "engines.html",
        bundles=bundles,
        refusal=_refusal(site, bundles.previous) if bundles.previous else "",
        counts=counts,
        problem=problem,
        wanted=missing,
        jobs=_jobs(site),
    )


@needs(Role.VIEWER)
async def jobs(request: Request) -> Response:
    """The part of the page that follows the work while it is done."""
    return render(request, "engine_jobs.html", jobs=_jobs(site_of(request)))


@needs(Role.VIEWER)
async def history(request: Request) -> Response:
    """The part of the page that asks the line and reads the journal."""
    site = site_of(request)
    try:
        reigns = await run_in_threadpool(_history(site.line.journal).reigns)
        done = await run_in_threadpool(_actions, site)
        problem = ""
    except (JournalError, AuditError, sqlite3.Error) as error:
        reigns, done, problem = [], [], str(error)
    return render(
        request,
        "engine_history.html",
        reigns=reigns[:_MOST_REIGNS],
        done=done,
        problem=problem,
        line_says=_line_says(request),
    )


@needs(Role.VIEWER)
async def engine(request: Request) -> Response:
    site = site_of(request)
    bundles = await run_in_threadpool(_find, site)
    bundle = _asked_for(request, bundles)
    try:
        text = await run_in_threadpool(card, bundle.facts.folder, f"/engines/{bundle.id}/pictures")
    except ConfigError:
        text = None
    return render(
        request,
        "engine.html",
        bundle=bundle,
        is_active=bundle is bundles.active,
        card=text,
        refusal=_refusal(site, bundle) or _not_proven(bundle, bundles.active),
        jobs=_jobs(site),
    )


@needs(Role.VIEWER)
async def picture_of_card(request: Request) -> Response:
    bundle = _asked_for(request, await run_in_threadpool(_find, site_of(request)))
    try:
        return FileResponse(picture(bundle.facts.folder, request.path_params["name"]))
    except ConfigError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND) from error


@needs(Role.ENGINEER)
async def activate(request: Request) -> Response:
    site = site_of(request)
    bundles = await run_in_threadpool(_find, site)
    bundle = _asked_for(request, bundles)
    if refusal := _refusal(site, bundle) or _not_proven(bundle, bundles.active):
        return error_page(request, 409, f"{refusal} Nothing was changed.")
    detail = {"engine": bundle.label, "hash": bundle.facts.hash}
    return await _start(
        request, SWITCH, functools.partial(engine_work.activate, site, bundle), "activate_engine", detail
    )


@needs(Role.ENGINEER)
async def roll_back(request: Request) -> Response:
    site = site_of(request)
    previous = (await run_in_threadpool(_find, site)).previous
    if previous is None:
        return error_page(request, 409, "There is no engine to go back to. Nothing was changed.")
    if refusal := _refusal(site, previous):
        return error_page(request, 409, f"{refusal} Nothing was changed.")
    detail = {"engine": previous.label, "hash": previous.facts.hash}
    return await _start(
        request, SWITCH, functools.partial(engine_work.roll_back, site, previous), "roll_back_engine", detail
    )


@needs(Role.ENGINEER)
async def compare(request: Request) -> Response:
    site = site_of(request)
    bundles = await run_in_threadpool(_find, site)
    bundle = _asked_for(request, bundles)
    if bundles.active is None or bundle is bundles.active:
        return error_page(request, 409, "There is no other engine to compare this one with.")
    return await _start(request, COMPARE, functools.partial(engine_work.compare, site, bundles.active, bundle))


@needs(Role.ENGINEER)
async def learn(request: Request) -> Response:
    return await _start(request, LEARN, functools.partial(engine_work.learn, site_of(request)), "learn", {})


async def _start(
    request: Request, name: str, work: Work, action: str | None = None, detail: Mapping[str, str] | None = None
) -> Response:
    """Start a job, after its row of the audit trail. Raises AuditError: then nothing was started."""
    running = site_of(request).jobs
    try:
        running.refuse_if_busy()
        if action is not None:
            await record_action(request, action, dict(detail or {}))
        running.start(name, request.state.user.name, work)
    except BusyError as error:
        return error_page(request, 409, f"{error} Nothing was changed.")
    return RedirectResponse("/engines", status_code=303)


@functools.cache
def _history(journal: Path) -> EngineHistory:
    return EngineHistory(journal)


def _find(site: Site) -> Bundles:
    return find_bundles(site.line.engine, engine_work.learned_folder(site), site.line.config.get("inference", {}))


def _asked_for(request: Request, bundles: Bundles) -> Bundle:
    """Raises HTTPException if there is no bundle with the id of the address."""
    bundle = bundles.of(request.path_params["id"])
    if bundle is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return bundle


def _refusal(site: Site, bundle: Bundle) -> str:
    """Why this bundle can't be activated; "" if nothing is known against it."""
    folder = site.line.engine.parent
    if not os.access(folder, os.W_OK):
        return (
            f"This page may not change the engine: its user can't write to {folder}. The documentation of the operator's page "
            "says how to allow it. On the line's computer: inspectd engines activate."
        )
    if site.line.config.get("inference", {}).get("signed_by") and not bundle.is_signed:
        return (
            f"The line runs only signed engines, and {bundle.label} has no signature. Sign it on the computer that has the "
            "private key: inspectd engines sign."
        )
    return ""


def _not_proven(bundle: Bundle, active: Bundle | None) -> str:
    """Why a learned bundle may not follow the active one; `inspectd engines activate` refuses it too."""
    if bundle.proven_against is None:
        return ""
    version, hash_ = bundle.proven_against
    if active is not None and active.facts.hash in (hash_, bundle.facts.hash):
        return ""
    now = "the active engine can't be read" if active is None else f"{active.label} is active"
    return (
        f"{bundle.label} is proven not worse than version {version} ({hash_[:12]}), but {now}. Activate that version first and then "
        "this one, or learn again from the active engine."
    )


def _actions(site: Site) -> list[Entry]:
    return [entry for entry in site.audit.entries(limit=_LOOK_BACK) if entry.action in _ACTIONS]


def _line_says(request: Request) -> str:
    """The engine that the running line judges with; "" if no line answers."""
    now: LineNow = request.app.state.live.asker.now
    return f"{now.status['engine']} {now.status['engine_version']}" if now.status and now.is_fresh else ""


@dataclass(frozen=True, slots=True)
class _EngineJobs:
    """What runs now, and what came of the last jobs."""

    running: Job | None
    switched: Job | None
    learned: Job | None
    compared: Job | None


def _jobs(site: Site) -> _EngineJobs:
    last = site.jobs.last
    return _EngineJobs(site.jobs.running, last.get(SWITCH), last.get(LEARN), last.get(COMPARE))


routes = [
    Route("/engines", engines, methods=["GET"]),
    Route("/engines/jobs", jobs, methods=["GET"]),
    Route("/engines/history", history, methods=["GET"]),
    Route("/engines/learn", learn, methods=["POST"]),
    Route("/engines/rollback", roll_back, methods=["POST"]),
    Route("/engines/{id}", engine, methods=["GET"]),
    Route("/engines/{id}/pictures/{name}", picture_of_card, methods=["GET"]),
    Route("/engines/{id}/activate", activate, methods=["POST"]),
    Route("/engines/{id}/compare", compare, methods=["POST"]),
]
