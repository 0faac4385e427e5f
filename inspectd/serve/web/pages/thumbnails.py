"""Small images for strips of many parts. Pillow makes them: this process must not need the line's OpenCV."""

import io
import threading
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from inspectd.errors import InspectdError
from inspectd.serve.web.access import Role, needs
from inspectd.serve.web.journal_reading import journal_of
from inspectd.serve.web.part_view import image_file, read_parts
from inspectd.serve.web.site import Site, site_of

_LARGEST = 2**63 - 1
_KEPT: Final = {"Cache-Control": "private, max-age=3600"}
"""The address of an image has the time of its trigger, so it never shows another image."""
_THUMBNAIL_PX = (192, 144)
_LARGEST_THUMBNAILED_PX = 12_000_000
_one_at_a_time = threading.Lock()
"""A decoded image takes up to 36 MB."""


@needs(Role.VIEWER)
async def thumbnail(request: Request) -> Response:
    path = await _image_path(request)
    if path is None:
        return Response("There is no image of this part.", 404)
    small = await run_in_threadpool(_small, path)
    return FileResponse(path, headers=_KEPT) if small is None else Response(small, 200, _KEPT, "image/jpeg")


async def _image_path(request: Request) -> Path | None:
    """The archived image, or the copy of a reviewed one."""
    try:
        return await run_in_threadpool(
            _find_image, site_of(request), request.path_params["number"], request.query_params.get("t", "")
        )
    except InspectdError:
        return None


def _find_image(site: Site, number: int, t_utc_ns: str) -> Path | None:
    if number > _LARGEST:
        return None
    with journal_of(site) as connection:
        parts = read_parts(connection, [number])
    if not parts or str(parts[0]["t_utc_ns"]) != t_utc_ns:
        return None
    path = image_file(parts[0], site.line.archive)
    if path is None or not path.is_file():
        path = site.reviews().photo(number, int(t_utc_ns))
    return path


def _small(path: Path) -> bytes | None:
    """As JPEG; None if the image is too large to be decoded here: then the browser must do it."""
    try:
        with _one_at_a_time, Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > _LARGEST_THUMBNAILED_PX:
                return None
            image.thumbnail(_THUMBNAIL_PX)
            small = io.BytesIO()
            image.convert("L" if image.mode.startswith(("L", "I", "1")) else "RGB").save(small, "JPEG", quality=80)
            return small.getvalue()
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


routes = [Route("/thumbnails/{number:int}", thumbnail, methods=["GET"])]
