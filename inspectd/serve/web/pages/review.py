"""Review: people say what a label really is. One card at a time, with the queue below it."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inspectd.errors import AuditError, InspectdError, JournalError, ReviewError
from inspectd.learning.wanted import wanted
from inspectd.records.reviews import UNKNOWN, Decision
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.journal_reading import engine_of, journal_of
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.review.part_view import decision_view, label_words, read_parts, view
from inspectd.serve.web.review.photos import NoPhotoError, has_photo, photo_of
from inspectd.serve.web.review.queue import SEEN, SHOWS, SORTS, VERDICTS, Chooser, Filters, next_page, read_filters
from inspectd.serve.web.site import Site, record_action, render, site_of

NEW = "/review/new"
_CARDS = 60
_MOST_AT_ONCE = 100
_MOST_NEW = 100
_KEYS = "123456789"
_UNUSABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a request raises if it is not of this page."""


@dataclass(frozen=True, slots=True)
class _Problem(Exception):
    """Why a decision was not kept."""

    status: int
    sentence: str


@needs(Role.OPERATOR)
async def review(request: Request) -> Response:
    try:
        filters = read_filters(request.query_params)
    except ValueError as error:
        return error_page(request, 400, f"{error}.")
    site = site_of(request)
    engine = engine_of(site)
    if engine is None:
        return error_page(
            request, 503, f"The engine at {site.line.engine} can't be read, so nobody knows the classes of the labels."
        )
    try:
        engines = await run_in_threadpool(_engines, site)
    except InspectdError as error:
        return error_page(request, 503, f"{error}.")
    choices = [
        *(
            {"says": name, "words": label_words(name, engine.pass_class), "key": key}
            for key, name in _numbered(engine.faults)
        ),
        {"says": engine.pass_class, "words": label_words(engine.pass_class, engine.pass_class), "key": "G"},
        {"says": UNKNOWN, "words": label_words(UNKNOWN, engine.pass_class), "key": "U"},
    ]
    return render(
        request,
        "review.html",
        filters=filters,
        choices=choices,
        classes=[(name, label_words(name, engine.pass_class)) for name in engine.classes],
        engines=engines,
        fields=list((site.line.config.get("text") or {}).get("fields", {})),
        shows=SHOWS,
        seen=SEEN,
        sorts=SORTS,
        verdicts=VERDICTS,
    )


@needs(Role.OPERATOR)
async def cards(request: Request) -> Response:
    site, after, reviewer = site_of(request), request.query_params.get("after", ""), request.state.user.name
    try:
        filters = read_filters(request.query_params)
        return await _json(run_in_threadpool(_cards, site, filters, after, reviewer))
    except ValueError as error:
        return JSONResponse({"problem": f"{error}."}, 400)


@needs(Role.OPERATOR)
async def new(request: Request) -> Response:
    """How many parts have come that a page does not show yet, counted up to `_MOST_NEW`. An open page asks for it again and again."""
    try:
        filters = read_filters(request.query_params)
        return await _json(run_in_threadpool(_new, site_of(request), filters, request.state.user.name))
    except ValueError as error:
        return JSONResponse({"problem": f"{error}."}, 400)


@needs(Role.OPERATOR)
async def decide(request: Request) -> Response:
    """The audit row is written when it is certain that the decision makes sense, and before it is kept."""
    try:
        said = await request.json()
        says = str(said["says"])
        parts = {int(each["part"]): int(each["t"]) for each in said["parts"]}
    except _UNUSABLE:
        return JSONResponse({"problem": "This request can't be used. The decision was not kept."}, 400)
    if not 1 <= len(parts) <= _MOST_AT_ONCE:
        sentence = f"Decide on 1 to {_MOST_AT_ONCE} labels at once. The decision was not kept."
        return JSONResponse({"problem": sentence}, 400)
    site, reviewer = site_of(request), request.state.user.name

    async def answer() -> dict[str, Any]:
        photos = await run_in_threadpool(_photos, site, says, parts)
        await record_action(request, "review", {"parts": ", ".join(map(str, parts)), "says": says})
        return await run_in_threadpool(_decide, site, reviewer, says, photos, parts)

    return await _json(answer())


@needs(Role.OPERATOR)
async def undo(request: Request) -> Response:
    """Takes back the reviewer's last decisions: those on so many labels."""
    try:
        labels = int((await request.json())["labels"])
    except _UNUSABLE:
        labels = 0
    if not 1 <= labels <= _MOST_AT_ONCE:
        return JSONResponse({"problem": f"Undo the decisions on 1 to {_MOST_AT_ONCE} labels. Nothing was undone."}, 400)
    site, reviewer = site_of(request), request.state.user.name

    async def answer() -> dict[str, Any]:
        await record_action(request, "undo_review", {"labels": labels})
        return await run_in_threadpool(_undo, site, reviewer, labels)

    return await _json(answer())


async def _json(answer: Awaitable[dict[str, Any]]) -> Response:
    """The answer; a problem becomes a sentence."""
    try:
        said = await answer
        return JSONResponse(said, 507 if "problem" in said else 200)
    except _Problem as problem:
        return JSONResponse({"problem": problem.sentence}, problem.status)
    except JournalError as error:
        return JSONResponse({"problem": f"The journal can't be read now: {error}."}, 503)
    except AuditError as error:
        return JSONResponse({"problem": f"{_sentence(error)} Nothing was kept."}, 503)
    except ReviewError as error:
        return JSONResponse({"problem": _sentence(error)}, 507)


def _sentence(error: InspectdError) -> str:
    return f"{str(error)[:1].upper()}{str(error)[1:]}."


def _numbered(faults: tuple[str, ...]) -> list[tuple[str, str]]:
    """The first nine have a key."""
    return [(_KEYS[place] if place < len(_KEYS) else "", name) for place, name in enumerate(faults)]


def _engines(site: Site) -> list[dict[str, Any]]:
    with journal_of(site) as connection:
        return [dict(row) for row in connection.execute("SELECT id, name, hash FROM engines ORDER BY id DESC")]


def _cards(site: Site, filters: Filters, after: str, reviewer: str) -> dict[str, Any]:
    with journal_of(site) as connection:
        page = next_page(connection, filters, _chooser(site, reviewer), after, _CARDS)
        parts = read_parts(connection, page.numbers)
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM parts").fetchone()
    return {
        "cards": _views(site, parts, reviewer),
        "after": page.after,
        "newest": newest,
        "progress": _progress(site),
    }


def _new(site: Site, filters: Filters, reviewer: str) -> dict[str, Any]:
    with journal_of(site) as connection:
        found = next_page(connection, filters, _chooser(site, reviewer), "", _MOST_NEW)
    return {"parts": len(found.numbers), "is_all": found.after is None}


def _chooser(site: Site, reviewer: str) -> Chooser:
    engine = engine_of(site)
    return Chooser(0.5 if engine is None else engine.threshold, site.config.audit_share, reviewer)


def _photos(site: Site, says: str, wanted_parts: Mapping[int, int]) -> dict[int, Path]:
    """The photo of each part. Raises _Problem if the decision makes no sense for one of them."""
    engine = engine_of(site)
    if engine is None:
        raise _Problem(503, "The engine can't be read, so nobody knows its classes. The decision was not kept.")
    if says not in (*engine.classes, UNKNOWN):
        raise _Problem(409, f"The engine in use has no class {says!r}. Load the page again. The decision was not kept.")
    with journal_of(site) as connection:
        parts = {part["id"]: part for part in read_parts(connection, list(wanted_parts))}
    return {number: _photo(site, parts.get(number), number, t_utc_ns) for number, t_utc_ns in wanted_parts.items()}


def _decide(
    site: Site, reviewer: str, says: str, photos: Mapping[int, Path], wanted_parts: Mapping[int, int]
) -> dict[str, Any]:
    problem = {}
    try:
        for number, photo in photos.items():
            site.reviews().decide(number, says, reviewer, photo=photo, t_trigger_utc_ns=wanted_parts[number])
    except ReviewError as error:
        problem = {"problem": _sentence(error)}
    with journal_of(site) as connection:
        parts = read_parts(connection, list(wanted_parts))
    return {"cards": _views(site, parts, reviewer), "progress": _progress(site), **problem}


def _photo(site: Site, part: Mapping[str, Any] | None, number: int, t_utc_ns: int) -> Path:
    if part is None or part["t_utc_ns"] != t_utc_ns:
        raise _Problem(409, f"Part {number} is not in the journal any more. The decision was not kept.")
    try:
        return photo_of(site, part)
    except NoPhotoError as error:
        raise _Problem(410, f"{error} The decision was not kept.") from error


def _undo(site: Site, reviewer: str, labels: int) -> dict[str, Any]:
    undone = [number for number in (site.reviews().undo(reviewer) for _ in range(labels)) if number is not None]
    with journal_of(site) as connection:
        parts = read_parts(connection, undone)
    return {"parts": undone, "cards": _views(site, parts, reviewer), "progress": _progress(site)}


def _views(site: Site, parts: list[dict[str, Any]], reviewer: str) -> list[dict[str, Any]]:
    engine = engine_of(site)
    pass_class = None if engine is None else engine.pass_class
    decided = site.reviews().of({part["id"]: part["t_utc_ns"] for part in parts})
    return [
        {
            **view(part, engine, has_photo=has_photo(site, part)),
            **_decisions(decided.get(part["id"], ()), reviewer, pass_class),
        }
        for part in parts
    ]


def _decisions(decisions: tuple[Decision, ...], reviewer: str, pass_class: str | None) -> dict[str, Any]:
    """What others said is hidden until the reviewer has decided: people tend to agree with what they have read, and then two
    decisions are worth no more than one."""
    mine = next((each.says for each in decisions if each.by == reviewer), None)
    others = [decision_view(each, pass_class) for each in decisions if each.by != reviewer]
    return {
        "mine": mine,
        "mine_words": mine and label_words(mine, pass_class),
        "others": len(others),
        "decisions": others if mine is not None else [],
        "disagree": mine is not None and any(each["says"] != mine for each in others),
    }


def _progress(site: Site) -> dict[str, Any]:
    """How many labels all reviewers agree on, and what is still needed. Without an engine nobody knows which class is good."""
    engine = engine_of(site)
    counts = site.reviews().counts()
    pass_class = None if engine is None else engine.pass_class
    return {
        "counts": [
            {"words": label_words(says, pass_class), "parts": parts, "good": says == pass_class}
            for says, parts in counts.items()
        ],
        "wanted": [] if pass_class is None else wanted(counts, pass_class),
    }


routes = [
    Route("/review", review, methods=["GET"]),
    Route("/review/cards", cards, methods=["GET"]),
    Route(NEW, new, methods=["GET"]),
    Route("/review/decide", decide, methods=["POST"]),
    Route("/review/undo", undo, methods=["POST"]),
]
