"""`GET /images/{part}`: the photo of one part. `GET /thumbnails/{part}`: a small one, for rows of many parts.

Pillow makes the small ones, because this process must not need the line's OpenCV.
"""

import io
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from inspectd.errors import JournalError
from inspectd.records.reading import open_for_reading
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.review.photos import NoPhotoError, photo_of
from inspectd.serve.web.site import Site, site_of

_LARGEST_PART = 2**62
_SMALL_PX = (192, 144)
_LARGEST_DECODED: Final = 8_000_000
_one_at_a_time = threading.Lock()
"""A decoded image takes up to 8 MB."""
_LASTING: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
"""An address with number and time never stands for another photo."""


@needs(Role.VIEWER)
async def image(request: Request) -> Response:
    found = await _find(request)
    if isinstance(found, Response):
        return found
    return FileResponse(found, media_type="image/png", headers=_headers(request))


@needs(Role.VIEWER)
async def thumbnail(request: Request) -> Response:
    """As JPEG. A photo that is too large to be decoded here is sent as it is."""
    found = await _find(request)
    if isinstance(found, Response):
        return found
    small = await run_in_threadpool(_small, found)
    if small is None:
        return FileResponse(found, media_type="image/png", headers=_headers(request))
    return Response(small, headers=_headers(request), media_type="image/jpeg")


def _headers(request: Request) -> dict[str, str]:
    return _LASTING if "t" in request.query_params else {}


async def _find(request: Request) -> Path | Response:
    """The file, or the page that says why there is none."""
    part, asked = request.path_params["part"], request.query_params.get("t")
    try:
        return await run_in_threadpool(_photo, site_of(request), part, asked)
    except NoPhotoError as error:
        return error_page(request, 404, str(error))
    except (JournalError, sqlite3.Error, UnicodeDecodeError) as error:
        return error_page(request, 503, f"The journal can't be read now ({error}). Try again in a few seconds.")


def _photo(site: Site, part: int, asked: str | None) -> Path:
    """`asked`: time of the trigger in UTC ns. Raises NoPhotoError, JournalError, sqlite3.Error."""
    if not 0 < part < _LARGEST_PART:
        raise NoPhotoError("There is no part with this number.")
    with closing(open_for_reading(site.line.journal)) as connection:
        row = connection.execute("SELECT id, image, t_utc_ns FROM parts WHERE id = ?", (part,)).fetchone()
    if row is None:
        raise NoPhotoError(f"The journal has no part {part}.")
    if asked not in (None, str(row["t_utc_ns"])):
        raise NoPhotoError(f"Part {part} of this journal is another label than the one that the page asked for.")
    return photo_of(site, row)


def _small(path: Path) -> bytes | None:
    try:
        with _one_at_a_time, Image.open(path, formats=["PNG"]) as photo:
            if photo.width * photo.height * len(photo.getbands()) > _LARGEST_DECODED:
                return None
            photo.thumbnail(_SMALL_PX)
            small = io.BytesIO()
            photo.convert("RGB" if photo.mode.startswith(("RGB", "P")) else "L").save(small, "JPEG", quality=80)
            return small.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # not a photo that can be decoded
        return None


routes = [
    Route("/images/{part:int}", image, methods=["GET"]),
    Route("/thumbnails/{part:int}", thumbnail, methods=["GET"]),
]
