"""What `inspectd engines pull` must remember from one time to the next, so that it can be killed at any moment."""

from pathlib import Path
from typing import Final

from pydantic import Field

from inspectd.files.json_file import read_json
from inspectd.files.whole_file import write_whole
from inspectd.fleet.assignments import Kind
from inspectd.section import Section, checked

_FILE: Final = "memory.json"
Hashes = dict[Kind, str]
"""SHA-256 of the manifest of each bundle."""


class Before(Section):
    """The targets of a link and of its LINK.previous; null: there was no link."""

    current: str | None
    previous: str | None


class Switch(Section):
    """A change that has begun and that the line has not confirmed yet."""

    to: Hashes
    before: dict[Kind, Before]


class Refusal(Section):
    """By the running line."""

    of: Hashes
    config: str
    """SHA-256 of the line's config then: with another one, the line may agree."""
    reason: str


class Memory(Section):
    applied: Hashes = Field(default_factory=dict)
    """What was put on the line last."""
    switch: Switch | None = None
    refusal: Refusal | None = None

    @classmethod
    def read(cls, state: Path) -> "Memory":
        """Raises ConfigError."""
        path = state / _FILE
        return checked(cls, read_json(path), path) if path.exists() else cls()

    def write(self, state: Path) -> None:
        """Raises ConfigError."""
        write_whole(state / _FILE, self.model_dump_json().encode())
