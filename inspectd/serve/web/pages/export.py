"""Save what Review shows: a CSV of the parts, or a ZIP with their photos, sorted by what the reviewers said.

Both are made while they are sent, so neither needs room in memory or on the disk.
"""

import re
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from inspectd.errors import InspectdError
from inspectd.records.parts_csv import csv_header, csv_line, csv_of
from inspectd.records.reviews import UNKNOWN, Decision
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.journal_reading import engine_of, journal_of
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.review.part_view import read_parts
from inspectd.serve.web.review.photos import NoPhotoError, photo_of
from inspectd.serve.web.review.queue import Chooser, Filters, next_page, read_filters
from inspectd.serve.web.site import Site, record_action, site_of

MOST_PHOTOS: Final = 10_000
"""The contents of a ZIP are listed at its end, and this list is in memory until then."""
_PAGE = 500
_SINCE_1980 = (1980, 1, 1, 0, 0, 0)
_WINDOWS_KEEPS: Final = re.compile(r"photos/(con|prn|aux|nul|(com|lpt)[\d¹²³])", re.IGNORECASE)
"""Names of devices: Windows makes no folder with such a name."""
_README = """\
photos/<class>/        labels on which all reviewers agree. Split them with: python tools/prepare_data.py photos --out labels.csv
photos/unknown_reviewed/   labels that reviewers call unknown: none of the classes
undecided/             labels that nobody has reviewed, or on which reviewers disagree
labels.csv             each photo, its part, and who said what
parts.csv              the parts, with the columns of `inspectd report --csv`
"""


@needs(Role.OPERATOR)
async def export(request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind not in ("csv", "zip"):
        return error_page(request, 404, "Review saves csv and zip.")
    try:
        filters = read_filters(request.query_params)
    except ValueError as error:
        return error_page(request, 400, f"{error}.")
    site, user = site_of(request), request.state.user.name
    try:
        first = await run_in_threadpool(_head, site)
    except InspectdError as error:
        return error_page(request, 503, f"{error}.")
    await record_action(request, "export", {"kind": kind, "filters": request.url.query})
    pages = _pages(site, filters, user)
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', site.line.name)}-parts.{kind}"
    return StreamingResponse(
        _csv(site, first, pages) if kind == "csv" else _zip(site, first, pages),
        media_type="text/csv; charset=utf-8" if kind == "csv" else "application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _head(site: Site) -> str:
    with journal_of(site) as connection:
        return csv_header(connection)


def _pages(site: Site, filters: Filters, reviewer: str) -> Iterator[tuple[int, ...]]:
    """All parts that the filters show. Between two pages, nothing of the journal is open."""
    engine = engine_of(site)
    chooser = Chooser(0.5 if engine is None else engine.threshold, site.config.audit_share, reviewer)
    after: str | None = ""
    while after is not None:
        with journal_of(site) as connection:
            page = next_page(connection, filters, chooser, after, _PAGE)
        yield page.numbers
        after = page.after


def _csv(site: Site, head: str, pages: Iterator[tuple[int, ...]]) -> Iterator[str]:
    yield head
    for numbers in pages:
        with journal_of(site) as connection:
            lines = csv_of(connection, numbers)
        yield lines


class _Sent:
    """A file that can only be written to. What was written is taken out in pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _zip(site: Site, head: str, pages: Iterator[tuple[int, ...]]) -> Iterator[bytes]:
    """Photos are not compressed: a PNG is already."""
    sent = _Sent()
    folders = _Folders()
    parts_csv, labels_csv = [head], [csv_line(("photo", "part", "label", "decisions"))]
    left = MOST_PHOTOS
    with zipfile.ZipFile(sent, "w") as archive:  # type: ignore[call-overload]  # any object that can be written to
        archive.writestr(_entry("README.txt"), _README)
        for numbers in pages:
            numbers = numbers[:left]
            left -= len(numbers)
            with journal_of(site) as connection:
                parts = read_parts(connection, numbers)
                parts_csv.append(csv_of(connection, numbers))
            decided = site.reviews().of({part["id"]: part["t_utc_ns"] for part in parts})
            for part in parts:
                photo = _photo(site, part)
                if photo is None:
                    continue
                decisions = decided.get(part["id"], ())
                label = _agreed(decisions)
                name = f"{folders.of(label)}/{part['id']:09d}_{part['t_utc_ns']}.png"
                said = "; ".join(f"{each.by}: {each.says}" for each in decisions)
                labels_csv.append(csv_line((name, part["id"], label or "", said)))
                archive.writestr(_entry(name), photo)
                yield sent.taken()
            if left == 0:
                break
        archive.writestr(_entry("labels.csv"), "".join(labels_csv))
        archive.writestr(_entry("parts.csv"), "".join(parts_csv))
    yield sent.taken()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _SINCE_1980)
    entry.external_attr = 0o644 << 16
    return entry


def _photo(site: Site, part: Mapping[str, Any]) -> bytes | None:
    try:
        return photo_of(site, part).read_bytes()
    except (NoPhotoError, OSError):  # the archive deletes old ones, also at this moment
        return None


def _agreed(decisions: tuple[Decision, ...]) -> str | None:
    said = {each.says for each in decisions}
    return said.pop() if len(said) == 1 else None


class _Folders:
    """A folder per label, with a name that every system can unpack. Two labels never share one."""

    def __init__(self) -> None:
        self._of: dict[str | None, str] = {None: "undecided", UNKNOWN: "photos/unknown_reviewed"}

    def of(self, label: str | None) -> str:
        if label not in self._of:
            assert label is not None
            name = "photos/" + re.sub(r"[^\w-]", "_", unicodedata.normalize("NFC", label))
            while _WINDOWS_KEEPS.fullmatch(name) or _folded(name) in map(_folded, self._of.values()):
                name += "_"
            self._of[label] = name
        return self._of[label]


def _folded(name: str) -> str:
    """The same for names that Windows or macOS takes for one."""
    return unicodedata.normalize("NFKC", name).casefold()


routes = [Route("/review/export.{kind}", export, methods=["POST"])]
