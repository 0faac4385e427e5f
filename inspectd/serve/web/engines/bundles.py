"""The engine bundles that this line could use: the active one, those beside it, and those that were learned here.

A page names a bundle by the beginning of its hash, never by a path.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError
from inspectd.serve.engine_facts import EngineFacts, read_engine_facts

_ID_LENGTH = 16
_MOST = 200
"""So many folders are looked at in one place."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One bundle. Its files are checked when it is activated, not here."""

    facts: EngineFacts
    is_signed: bool
    """Whether it has a signature. Whether that is the right one is checked when it is activated."""
    is_learned: bool
    """Whether it was learned from the reviews of this page."""

    @property
    def id(self) -> str:
        return _id(self.facts)

    @property
    def proven_against(self) -> tuple[str, str] | None:
        """Version and hash of the engine from which it was learned; None if it was not learned."""
        training = self.facts.manifest.get("training")
        learned = training.get("learned") if isinstance(training, dict) else None
        if learned is None:
            return None
        said = learned if isinstance(learned, dict) else {}
        return str(said.get("engine")), str(said.get("engine_hash"))

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.facts.name} {self.facts.version}"


@dataclass(frozen=True, slots=True)
class Bundles:
    """What was found on the disk."""

    active: Bundle | None
    """None if the link points to nothing that can be read; `problem` says why."""
    previous: Bundle | None
    """The one to go back to; None if there is none."""
    others: tuple[Bundle, ...]
    """All but the active one, the newest first."""
    problem: str = ""

    def of(self, id_: str) -> Bundle | None:
        """The bundle with this id; None if there is none."""
        every = (*([self.active] if self.active else []), *self.others)
        return next((bundle for bundle in every if bundle.id == id_), None)


def find_bundles(link: Path, learned: Path, inference: Mapping[str, Any]) -> Bundles:
    """`link`: the line's engine. `learned`: where this page keeps what it learns. `inference`: that section of the line's config.

    Folders that hold no readable bundle are left out.
    """
    try:
        active, problem = _read(link, learned, inference), ""
    except ConfigError as error:
        active, problem = None, str(error)
    previous = _readable(link.with_name(link.name + ".previous"), learned, inference)
    found = {active.facts.hash: active} if active else {}
    for place in dict.fromkeys((link.parent.resolve(), Path(os.path.realpath(link)).parent, learned)):
        for folder in _folders(place):
            if (bundle := _readable(folder, learned, inference)) is not None:
                found.setdefault(bundle.facts.hash, bundle)
    others = sorted(
        (bundle for bundle in found.values() if bundle is not active),
        key=lambda bundle: str(bundle.facts.manifest.get("created")),
        reverse=True,
    )
    if previous is not None and active is not None and previous.facts.hash == active.facts.hash:
        previous = None
    return Bundles(active, previous, tuple(others), problem)


def bundle_id(folder: Path) -> str:
    """The id of the bundle in a folder. Raises ConfigError."""
    return _id(read_engine_facts(folder, {}))


def _id(facts: EngineFacts) -> str:
    return facts.hash[:_ID_LENGTH]


def _folders(place: Path) -> Iterator[Path]:
    """Those that may be bundles. Links are left out: what they point to is in one of the places, or not meant for this line."""
    try:
        entries = sorted(place.iterdir())[:_MOST]
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(".") and not entry.is_symlink() and (entry / "engine.yaml").is_file():
            yield entry


def _readable(folder: Path, learned: Path, inference: Mapping[str, Any]) -> Bundle | None:
    try:
        return _read(folder, learned, inference)
    except ConfigError:
        return None


def _read(folder: Path, learned: Path, inference: Mapping[str, Any]) -> Bundle:
    """Raises ConfigError."""
    try:
        facts = read_engine_facts(folder, inference)
        return Bundle(
            facts, (facts.folder / "engine.yaml.sig").is_file(), facts.folder.is_relative_to(learned.resolve())
        )
    except (OSError, RuntimeError) as error:  # no rights, or a loop of links
        raise ConfigError(f"{folder}: can't be read: {error}") from error
