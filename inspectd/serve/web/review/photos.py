"""Where the photo of a part is: in the archive, or, if it was reviewed, among the copies that outlive the archive."""

import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from inspectd.errors import ReviewError
from inspectd.serve.web.site import Site


class NoPhotoError(Exception):
    """Why there is no photo of a part, in a sentence."""


def photo_of(site: Site, part: Mapping[str, Any]) -> Path:
    """The file. `part`: a row of the journal's parts. Raises NoPhotoError."""
    try:
        return _archived(part, site.line.archive)
    except NoPhotoError:
        with suppress(ReviewError):
            copy = site.reviews().photo(part["id"], part["t_utc_ns"])
            if copy is not None and copy.is_file():
                return copy
        raise


def has_photo(site: Site, part: Mapping[str, Any]) -> bool:
    try:
        photo_of(site, part)
    except NoPhotoError:
        return False
    return True


def _archived(part: Mapping[str, Any], archive: Path | None) -> Path:
    """The journal names the file, but only files of the archive are used. Raises NoPhotoError."""
    number = part["id"]
    if part["image"] is None:
        raise NoPhotoError(f"No image of part {number} was stored.")
    if archive is None:
        raise NoPhotoError("This line keeps no images any more.")
    try:
        path = Path(part["image"]).resolve(strict=True)
        if not path.is_relative_to(archive.resolve()) or path.suffix != ".png" or not stat.S_ISREG(path.stat().st_mode):
            raise NoPhotoError(f"The image of part {number} is not in the archive's folder, so it is not shown.")
    except (OSError, RuntimeError, ValueError) as error:
        raise NoPhotoError(
            f"The image of part {number} is not there any more: the archive deletes the oldest images when it is full."
        ) from error
    return path
