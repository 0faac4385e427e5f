"""`GET /images/{part}`: the archived image of one part."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from inspectd.errors import JournalError
from inspectd.records.reading import open_for_reading
from inspectd.serve.web.access import Role, needs
from inspectd.serve.web.line_facts import LineFacts
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.site import site_of

_LARGEST_PART = 2**62


class _NoImage(Exception):
    """Why there is no image of a part, in a sentence."""


@needs(Role.VIEWER)
async def image(request: Request) -> Response:
    part = request.path_params["part"]
    try:
        path, t_utc_ns = await asyncio.to_thread(_find, site_of(request).line, part)
    except _NoImage as error:
        return error_page(request, 404, str(error))
    except (JournalError, sqlite3.Error, UnicodeDecodeError) as error:
        return error_page(request, 503, f"The journal can't be read now ({error}). Try again in a few seconds.")
    asked = request.query_params.get("t")
    if asked not in (None, str(t_utc_ns)):
        return error_page(
            request, 404, f"Part {part} of this journal is another label than the one that the page asked for."
        )
    # the address names part and time, so it never stands for another image
    lasting = {"Cache-Control": "private, max-age=31536000, immutable"} if asked else {}
    return FileResponse(path, media_type="image/png", headers=lasting)


def _find(line: LineFacts, part: int) -> tuple[Path, int]:
    """The file, and the time of the trigger in UTC ns. Raises _NoImage, JournalError, sqlite3.Error."""
    if not 0 < part < _LARGEST_PART:
        raise _NoImage("There is no part with this number.")
    with closing(open_for_reading(line.journal)) as connection:
        row = connection.execute("SELECT image, t_utc_ns FROM parts WHERE id = ?", (part,)).fetchone()
    if row is None:
        raise _NoImage(f"The journal has no part {part}.")
    if row["image"] is None:
        raise _NoImage(f"No image of part {part} was stored.")
    if line.archive is None:
        raise _NoImage("This line keeps no images any more.")
    return _inside(line.archive, Path(row["image"]), part), row["t_utc_ns"]


def _inside(archive: Path, recorded: Path, part: int) -> Path:
    """The image's file. The journal names it, but only files of the archive are sent. Raises _NoImage."""
    try:
        path = recorded.resolve(strict=True)
        if not path.is_relative_to(archive.resolve()) or path.suffix != ".png" or not stat.S_ISREG(path.stat().st_mode):
            raise _NoImage(f"The image of part {part} is not in the archive's folder, so it is not shown.")
    except (OSError, RuntimeError, ValueError) as error:
        raise _NoImage(
            f"The image of part {part} is not there any more: the archive deletes the oldest images when it is full."
        ) from error
    return path


routes = [Route("/images/{part:int}", image, methods=["GET"])]
