"""The page of one part."""

import sqlite3
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd.errors import InspectdError
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.journal_reading import engine_of, journal_of
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.review.part_view import decision_view, finite, read_parts, view
from inspectd.serve.web.review.photos import has_photo
from inspectd.serve.web.site import Site, render, site_of
from inspectd.serve.web.wording import moment

_LARGEST = 2**63 - 1
_STAGES: Final = {
    "acquire_us": "trigger to image",
    "queue_us": "waited",
    "preprocess_us": "preprocessing",
    "infer_us": "network",
    "guard_us": "guard",
    "text_us": "texts and codes",
    "verdict_us": "trigger to verdict",
    "record_us": "recording",
}
_IMAGE: Final = {"brightness": "brightness (white is 1)", "sharpness": "sharpness"}


@needs(Role.VIEWER)
async def part(request: Request) -> Response:
    number = request.path_params["number"]
    try:
        found = await run_in_threadpool(_part, site_of(request), number, request.state.user.name)
    except InspectdError as error:
        return error_page(request, 503, f"{error}.")
    if isinstance(found, str):
        return error_page(request, 404, found)
    return render(request, "part.html", **found)


def _part(site: Site, number: int, user: str) -> dict[str, Any] | str:
    """What the page shows, or why there is no such part."""
    if number > _LARGEST:
        return f"Part {number} never existed: the number is too large."
    with journal_of(site) as connection:
        parts = read_parts(connection, [number])
        if not parts:
            return _why_missing(connection, number)
        row = parts[0]
        session = connection.execute("SELECT * FROM sessions WHERE id = ?", (row["session"],)).fetchone()
        near = connection.execute(
            "SELECT (SELECT max(id) FROM parts WHERE id < :id) AS before, (SELECT min(id) FROM parts WHERE id > :id) AS after, "
            "(SELECT id FROM parts WHERE id < :id AND verdict <> 'pass' ORDER BY id DESC LIMIT 1) AS reject_before, "
            "(SELECT id FROM parts WHERE id > :id AND verdict <> 'pass' ORDER BY id LIMIT 1) AS reject_after",
            {"id": number},
        ).fetchone()
    engine = engine_of(site)
    decisions = site.reviews().of({number: row["t_utc_ns"]}).get(number, ())
    return {
        "row": row,
        "card": view(row, engine, has_photo=has_photo(site, row)),
        "stages": [(words, row[column]) for column, words in _STAGES.items() if row[column] is not None],
        "image": [(words, row[column]) for column, words in _IMAGE.items() if finite(row[column]) is not None],
        "session": session,
        "started": None if session is None else moment(session["started_utc_ns"]),
        "near": near,
        "decisions": [decision_view(each, None if engine is None else engine.pass_class) for each in decisions],
        "is_open": any(each.by == user for each in decisions),
    }


def _why_missing(connection: sqlite3.Connection, number: int) -> str:
    (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM parts").fetchone()
    if number > newest:
        return (
            f"Part {number} does not exist yet. The newest part is {newest}."
            if newest
            else "The journal has no parts yet."
        )
    unrecorded = connection.execute(
        "SELECT kind, detail FROM outages WHERE ? BETWEEN first_part AND last_part LIMIT 1", (number,)
    ).fetchone()
    if unrecorded is not None:
        return f"Part {number} has no record of its own: {unrecorded['detail']}."
    deleted = connection.execute(
        "SELECT reason, t_utc_ns FROM deletions WHERE last_part >= ? ORDER BY last_part LIMIT 1", (number,)
    ).fetchone()
    if deleted is not None:
        return (
            f"Part {number} is not in the journal any more: the oldest parts are deleted because of journal.{deleted['reason']}, "
            f"last on {moment(deleted['t_utc_ns'])}."
        )
    return f"Part {number} never existed, or its record was lost: the journal has neither a row nor a note of it."


routes = [Route("/parts/{number:int}", part, methods=["GET"])]
