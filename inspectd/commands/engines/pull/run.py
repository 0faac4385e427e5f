"""One pull: look at the repository, fetch what is new, check it, put it on the line, and say how it ended."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inspectd.commands.engines.pull.switching import Slot, Switching, links
from inspectd.config import Config, load_config
from inspectd.errors import (
    ConfigError,
    ControlError,
    EngineError,
    InspectdError,
    NotReachableError,
    RefusedError,
    RepositoryError,
)
from inspectd.files.folder_lock import locked
from inspectd.fleet.assignments import KINDS, Assigned
from inspectd.fleet.bundles import BundleFolder
from inspectd.fleet.config import PullConfig, load_pull_config
from inspectd.fleet.download import Download, within
from inspectd.fleet.last_pull import GOOD, LastPull, Outcome, read_last_pull, write_last_pull
from inspectd.terminal import print_error

_REFUSED = 1


def run(config: Path, again: bool, as_json: bool) -> int:
    """Returns the exit code. Raises ConfigError if the config can't be used, InUseError if another pull runs."""
    pull_config = load_pull_config(config)
    line = load_config(pull_config.line)
    _make(pull_config.state)
    with locked(pull_config.state, wait=False):
        pull = Pull(pull_config, line, again)
        last = _ended(pull)
        write_last_pull(pull_config.state, last)
    if as_json:
        print(last.model_dump_json())
    elif last.outcome in GOOD:
        print(f"{last.line}: {last.said}")
    if last.outcome not in GOOD:
        print_error("inspectd", RepositoryError(last.said))
    return last.exit_code


def _make(state: Path) -> None:
    """Raises ConfigError."""
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state: {state}: can't be made: {error.strerror}") from error
    if state.stat().st_uid != os.geteuid():  # files of root in it would stop the timer's pulls
        raise ConfigError(
            f"state: {state}: belongs to another user; pull as that user. For the timer's: sudo systemctl start inspectd-pull"
        )


@dataclass(slots=True)
class Pull:
    config: PullConfig
    line: Config
    again: bool
    assigned: Assigned | None = None
    expires_utc: datetime | None = None

    def run(self) -> tuple[Outcome, str]:
        """The outcome, in a word and in words. Raises InspectdError, OSError."""
        switching = None
        if self.config.activate:
            self._check_rights()
            switching = Switching(self.config.line, self.line, self.config.state)
            with suppress(RefusedError):  # then it is taken back, and what is assigned now counts
                switching.finish()
        folder = BundleFolder(self.config.bundles)
        slots = within(self.config.within_minutes, lambda: self._fetch(folder))
        outcome, said = self._use(slots, switching)
        used = [path.resolve() for link in links(self.line).values() for path in (link.path, link.previous)]
        folder.tidy([*used, *(slot.folder.resolve() for slot in slots)], self.config.keep)
        return outcome, said

    def _check_rights(self) -> None:
        """Raises ConfigError before anything is fetched."""
        for link in links(self.line).values():
            if not os.access(link.path.parent, os.W_OK):
                raise ConfigError(
                    f"{link.path.parent}: this user may not switch the links in it; give it the right, or set activate: false"
                )

    def _fetch(self, folder: BundleFolder) -> list[Slot]:
        download = Download(self.config)
        try:
            self.assigned = assigned = download.assigned(self.line.name)
        finally:
            self.expires_utc = download.expires_utc
        slots = []
        for kind in KINDS:
            name, link = assigned.get(kind), links(self.line).get(kind)
            if name is not None and link is not None:
                place = folder.ensure(download, kind, name)
                slots.append(Slot(kind, name, download.hash(kind, name), place, link))
        if not slots:
            raise RepositoryError(
                f"{self.config.url}: assigns to {self.line.name} only a reader, but this line reads no text"
            )
        return slots

    def _use(self, slots: Sequence[Slot], switching: Switching | None) -> tuple[Outcome, str]:
        names = _names(slots)
        if switching is None:
            return "fetched", f"{names} is in {self.config.bundles}"
        if all(slot.is_switched for slot in slots):
            return "nothing_new", ": ".join(filter(None, [f"{names} is on the line", switching.accept(slots)]))
        left = [] if self.again else [slot for slot in slots if switching.was_left(slot)]
        wanted = [slot for slot in slots if slot not in left]
        if all(slot.is_switched for slot in wanted):
            return "left_alone", (
                f"somebody has switched this line from {_names(left)} to another bundle. It stays so until the repository assigns "
                "another one, or until a pull with --again"
            )
        return "activated", f"{_names(wanted)}: {switching.put_on(wanted, self.again)}"


def _names(slots: Sequence[Slot]) -> str:
    return " and ".join(slot.name for slot in slots)


def _ended(pull: Pull) -> LastPull:
    """Do it. Any end but a fault of the program itself has an outcome."""
    outcome: Outcome
    code = 0
    try:
        outcome, said = pull.run()
    except (RepositoryError, RefusedError, EngineError) as error:
        outcome, said, code = "refused", str(error), _REFUSED
    except NotReachableError as error:
        outcome, said, code = "not_reachable", str(error), error.exit_code
    except ControlError as error:
        outcome, said, code = "failed", str(error), os.EX_TEMPFAIL
    except InspectdError as error:
        outcome, said, code = "failed", str(error), error.exit_code
    except OSError as error:
        outcome, said, code = "failed", f"{error.filename or pull.config.state}: {error.strerror or error}", os.EX_IOERR
    before = _before(pull.config.state)
    now = datetime.now(UTC)
    return LastPull(
        line=pull.line.name,
        outcome=outcome,
        said=said,
        exit_code=code,
        assigned=pull.assigned,
        ended_utc=now,
        reached_utc=now if pull.assigned is not None else before and before.reached_utc,
        good_utc=now if outcome in GOOD else before and before.good_utc,
        expires_utc=pull.expires_utc or (before and before.expires_utc),
    )


def _before(state: Path) -> LastPull | None:
    try:
        return read_last_pull(state)
    except ConfigError:  # of another version: it only shows, and nothing depends on it
        return None
