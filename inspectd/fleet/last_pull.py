"""The result of the last `inspectd engines pull`, in a file for whoever watches the line."""

from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from inspectd.files.json_file import read_json
from inspectd.files.whole_file import write_whole
from inspectd.fleet.assignments import Assigned
from inspectd.section import Section, checked

FILE: Final = "last.json"
"""In the folder `state` of the config."""
Outcome = Literal["activated", "fetched", "nothing_new", "left_alone", "refused", "not_reachable", "failed"]
"""`left_alone`: somebody has switched the engine at the line, and nothing else has been assigned since."""
GOOD: Final = ("activated", "fetched", "nothing_new", "left_alone")


class LastPull(Section):
    """Of one line."""

    line: str
    """Its name."""
    outcome: Outcome
    said: str
    """The outcome in words."""
    exit_code: int = Field(ge=0, le=255)
    assigned: Assigned | None
    """What the repository assigns to the line; null: it was not reached."""
    ended_utc: datetime
    reached_utc: datetime | None
    """When a pull last reached a repository that it trusts."""
    good_utc: datetime | None
    """When a pull last ended well."""
    expires_utc: datetime | None
    """When the repository, as it was last seen, expires: after that the line takes nothing new."""


def read_last_pull(state: Path) -> LastPull | None:
    """None if there was none. Raises ConfigError if the file can't be read."""
    path = state / FILE
    return checked(LastPull, read_json(path), path) if path.exists() else None


def write_last_pull(state: Path, last: LastPull) -> None:
    """Readable by everybody. Raises ConfigError."""
    write_whole(state / FILE, f"{last.model_dump_json()}\n".encode(), mode=0o644)
