"""Put fetched bundles on the line, so that at each moment its links name bundles that it can load.

The links are switched only after this process has loaded everything as the line does. If the running line refuses, they go
back. What was begun is written down before, so that the next pull finishes it or takes it back.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.commands.engines.activation import refuse_if_proven_against_another
from inspectd.commands.engines.link import EngineLink, Targets
from inspectd.config import Config
from inspectd.control.client import ask
from inspectd.control.protocol import GOES_ON
from inspectd.errors import ConfigError, ControlError, EngineError, NoLineError, RefusedError
from inspectd.files.folder_lock import locked
from inspectd.fleet.assignments import MANIFESTS, Kind
from inspectd.fleet.memory import Before, Hashes, Memory, Refusal, Switch
from inspectd.inference import load_bundle
from inspectd.line.judges import load_judges
from inspectd.line.time_budget import least_budget

_AGAIN_S = 2.0
_REFUSED_FOR_NOW_S = 300.0
"""So long a line may be busy with another reload."""
NO_LINE = "the line is not running and loads it at its next start"
NO_SOCKET = "the line has no control socket (`control`) and loads it at its next reload or start"


@dataclass(frozen=True, slots=True)
class Slot:
    """A bundle, and the link of the line for it."""

    kind: Kind
    name: str
    hash: str
    """SHA-256 of its manifest."""
    folder: Path
    link: EngineLink

    @property
    def is_switched(self) -> bool:
        return _hash(self.link.path, self.kind) == self.hash


def links(line: Config) -> dict[Kind, EngineLink]:
    """Those that the line's config names."""
    found: dict[Kind, EngineLink] = {"engine": EngineLink(line.engine)}
    if line.text is not None and line.text.reader is not None:
        found["reader"] = EngineLink(line.text.reader)
    return found


class Switching:
    def __init__(self, config: Path, line: Config, state: Path) -> None:
        """`config`: the line's config file. `state`: where the memory is."""
        self._line = line
        self._config_hash = hashlib.sha256(config.read_bytes()).hexdigest()
        self._state = state
        self._links = links(line)
        self.memory = Memory.read(state)

    def finish(self) -> None:
        """Finish, or take back, what an earlier pull has begun and the line has not confirmed.

        Raises what `put_on` raises.
        """
        switch = self.memory.switch
        if switch is None:
            return
        with self._locked():
            now = {kind: _hash(self._links[kind].path, kind) for kind in switch.to if kind in self._links}
            if now == switch.to:
                self._confirm(switch, always=False)
            elif any(now.get(kind) == hash_ for kind, hash_ in switch.to.items()):
                self._take_back(switch)
            else:  # it was not begun, or somebody has switched meanwhile
                self._remember(switch=None)

    def was_left(self, slot: Slot) -> bool:
        """Whether this bundle was put on the line, and somebody has switched it to another one since."""
        return not slot.is_switched and self.memory.applied.get(slot.kind) == slot.hash

    def accept(self, slots: Sequence[Slot]) -> str:
        """The links name these bundles already. Returns what the line says, if it has not confirmed them yet."""
        if self.memory.applied != _hashes(slots):
            self._remember(applied=_hashes(slots))
        return NO_LINE if self.memory.switch is not None else ""

    def put_on(self, slots: Sequence[Slot], again: bool) -> str:
        """Load the bundles, switch the links, and let the line load them. Returns what the line says.

        Raises EngineError if a bundle is rejected here, RefusedError if the line refuses it, ControlError if the line does not
        answer as it must: then the links are as before. Raises ConfigError if the links can't be switched.
        """
        hashes = _hashes(slots)
        self._judge(slots)
        self._check_proof(slots)
        refusal = self.memory.refusal
        if not again and refusal is not None and (refusal.of, refusal.config) == (hashes, self._config_hash):
            raise RefusedError(f"{refusal.reason} (the line said so before; `--again` asks it again)")
        with self._locked():
            earlier = self.memory.switch
            before = {slot.kind: _before(slot.link.targets) for slot in slots}
            if earlier is not None:
                before |= {kind: each for kind, each in earlier.before.items() if kind in before}
            switch = Switch(to=hashes, before=before)
            self._remember(switch=switch)
            try:
                for slot in slots:
                    if not slot.is_switched:
                        slot.link.switch(slot.folder)
            except OSError:
                self._take_back(switch)
                raise
            return self._confirm(switch, always=True)

    def _judge(self, slots: Sequence[Slot]) -> None:
        """Load everything as the line does at its start. Raises EngineError."""
        changes: dict[str, Any] = {slot.kind: slot.folder for slot in slots}
        reader = changes.pop("reader", None)
        if reader is not None and self._line.text is not None:
            changes["text"] = self._line.text.model_copy(update={"reader": reader})
        line = self._line.model_copy(update=changes)
        try:
            judges = load_judges(line, line.camera.known_size())
        except ConfigError as error:  # such as text fields for which the engine finds no print
            raise EngineError(str(error)) from error
        refusal = least_budget(line, judges).refusal
        if refusal is not None:
            raise EngineError(f"{line.engine}: {refusal}")

    def _check_proof(self, slots: Sequence[Slot]) -> None:
        """As `activate` does, unless it is the engine before: going back is always possible. Raises EngineError."""
        for slot in slots:
            if slot.kind == "engine" and slot.link.path.exists() and _hash(slot.link.previous, "engine") != slot.hash:
                refuse_if_proven_against_another(load_bundle(slot.folder), slot.link.path)

    def _confirm(self, switch: Switch, *, always: bool) -> str:
        """Ask the line to load what the links name. `always`: also if it says that it has."""
        try:
            said = self._reload(switch, always)
        except RefusedError as error:
            self._take_back(switch)
            self._remember(refusal=Refusal(of=switch.to, config=self._config_hash, reason=str(error)))
            raise
        except NoLineError:
            self._remember(applied=self.memory.applied | switch.to)  # and the switch, until the line has confirmed it
            return NO_LINE
        except ControlError:
            self._take_back(switch)
            raise
        self._remember(applied=self.memory.applied | switch.to, switch=None, refusal=None)
        return said

    def _reload(self, switch: Switch, always: bool) -> str:
        """Raises RefusedError, ControlError."""
        if self._line.control is None:
            return NO_SOCKET
        socket = self._line.control.socket
        if not always and _runs(ask(socket, "status"), switch):
            return "the line uses it"
        end_s = time.monotonic() + _REFUSED_FOR_NOW_S
        while True:
            try:
                answer = ask(socket, "reload")
            except RefusedError as error:
                if str(error).startswith(GOES_ON):
                    raise
                if time.monotonic() > end_s:
                    raise ControlError(f"{socket}: the line did not reload: {error}") from error
                time.sleep(_AGAIN_S)
                continue
            if not _runs(answer, switch):
                raise RefusedError(
                    f"{socket}: this line uses another link, or an older version of inspectd: it has loaded {_name(answer)}"
                )
            return f"the line uses {_name(answer)}"

    def _take_back(self, switch: Switch) -> None:
        for kind, before in switch.before.items():
            if kind in self._links:
                self._links[kind].put_back(_targets(before))
        others = {kind: hash_ for kind, hash_ in self.memory.applied.items() if kind not in switch.to}
        self._remember(switch=None, applied=others)

    def _remember(self, **changes: Any) -> None:
        self.memory = self.memory.model_copy(update=changes)
        self.memory.write(self._state)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The folders of all links: one command at a time may switch them. Raises ConfigError."""
        with ExitStack() as locks:
            for folder in sorted({link.place.parent for link in self._links.values()}):
                locks.enter_context(locked(folder))
            yield


def _runs(answer: Mapping[str, Any], switch: Switch) -> bool:
    """Whether the line's answer names the engine, by its hash: a version may be made twice. It does not name its reader."""
    return "engine" not in switch.to or answer.get("engine_hash") == switch.to["engine"]


def _name(answer: Mapping[str, Any]) -> str:
    return f"{answer['engine']}-{answer['engine_version']}"


def _hashes(slots: Sequence[Slot]) -> Hashes:
    return {slot.kind: slot.hash for slot in slots}


def _hash(folder: Path, kind: Kind) -> str | None:
    """Of the bundle in a folder; None if it can't be read."""
    try:
        return hashlib.sha256((folder / MANIFESTS[kind]).read_bytes()).hexdigest()
    except OSError:
        return None


def _before(targets: Targets) -> Before:
    current, previous = (None if each is None else str(each) for each in targets)
    return Before(current=current, previous=previous)


def _targets(before: Before) -> Targets:
    current, previous = (None if each is None else Path(each) for each in (before.current, before.previous))
    return Targets(current, previous)
