"""What the verbs of `inspectd repository` do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from inspectd.errors import ConfigError
from inspectd.files.folder_lock import locked
from inspectd.fleet.assignments import KINDS, LineName
from inspectd.terminal import console, folding_table

if TYPE_CHECKING:
    from inspectd.fleet.repository import Repository


def init(repository: Path, keys: Path, root_days: int, targets_days: int, timestamp_days: int) -> int:
    """Raises ConfigError."""
    days = {"root": root_days, "targets": targets_days, "timestamp": timestamp_days}
    _module().create(repository, keys, days)
    print(
        f"{repository}: an empty repository, for a web server\n"
        f"{keys}: its private keys; never copy them to the web server or to a line\n"
        f"{keys / 'root.json'}: what each line trusts; copy it to /etc/inspectd of the lines\n"
        f"move root-*.pem to two USB sticks in two places: only `rotate` and, after years, `renew` need it\n"
        f"the repository expires in {timestamp_days} days, so run `inspectd repository renew` every day"
    )
    return 0


def publish(repository: Path, bundle: Path, keys: list[Path]) -> int:
    """Raises EngineError if the bundle is damaged, ConfigError, RepositoryError."""
    with _opened(repository, keys) as opened:
        published = opened.publish(bundle)
        opened.commit("targets")
    print(f"{published.name}: published ({published.kind}, {published.size / 1e6:.1f} MB)")
    manifest = "engine.yaml" if published.kind == "engine" else "reader.yaml"
    if not (bundle / f"{manifest}.sig").exists():
        print("it is not signed: lines with inference.signed_by will refuse it; sign it and publish it again")
    print(f"no line uses it yet: inspectd repository assign {repository} {published.name} [--line NAME] --keys ...")
    return 0


def assign(repository: Path, bundle: str | None, lines: list[str], follow: bool, keys: list[Path]) -> int:
    """Raises ConfigError if the bundle is not published or a line's name can't be one, RepositoryError."""
    if follow == (bundle is not None) or (follow and not lines):
        raise ConfigError("give a bundle, or --follow and --line")
    for line in lines:
        _check_name(line)
    with _opened(repository, keys) as opened:
        before = opened.assignments
        if bundle is None:
            after = before.follow(tuple(lines))
        else:
            published = opened.published
            if bundle not in published:
                raise ConfigError(f"{bundle}: is not published; these are: {', '.join(sorted(published)) or 'none'}")
            after = before.assign(published[bundle].kind, bundle, tuple(lines))
        opened.put_assignments(after)
        opened.commit("targets")
    console().print(_assignments_table(after.model_dump()))
    return 0


def renew(repository: Path, keys: list[Path]) -> int:
    """Raises ConfigError if the key is missing, RepositoryError."""
    with _opened(repository, keys) as opened:
        missing = opened.renew()
        expires, _ = opened.expiries["timestamp"]
    print(f"{repository}: valid until {expires:%Y-%m-%d %H:%M} UTC")
    for role in missing:
        until = opened.expiries[role][0]
        print(f"{role} expires on {until:%Y-%m-%d}: renew it with its key: name the folder with --keys")
    return 0


def rotate(repository: Path, role: str, keys: list[Path]) -> int:
    """Raises ConfigError, RepositoryError."""
    with _opened(repository, keys) as opened:
        opened.rotate(role, keys[0])  # type: ignore[arg-type]
    print(f"{keys[0]}: has a new key of {role}; lines refuse what only the old key has signed. Delete the old key.")
    return 0


def show(repository: Path, as_json: bool) -> int:
    """Exit code 1 if something has expired, is damaged or is missing. Raises ConfigError, RepositoryError."""
    opened = _module().Repository.open(repository)
    found = _figures(opened)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        screen = console()
        screen.print(_bundles_table(found))
        screen.print(_assignments_table(found["assignments"]))
        screen.print(_expiry_table(found))
        for problem in found["problems"]:
            screen.print(Text(problem, "red"))
    return int(bool(found["problems"]))


@contextmanager
def _opened(repository: Path, keys: list[Path]) -> Iterator["Repository"]:
    """For one writer at a time."""
    module = _module()
    with locked(repository):
        yield module.Repository.open(repository, keys)


def _module() -> ModuleType:
    try:
        from inspectd.fleet import repository
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"inspectd repository needs {error.name}: install it with pip install 'inspectd[fleet]'"
        ) from error
    return repository


def _check_name(line: str) -> None:
    try:
        TypeAdapter(LineName).validate_python(line)
    except ValidationError as error:
        raise ConfigError(
            f"--line {line}: up to 40 letters, digits, dots, underscores and hyphens, as `name` in the line's config"
        ) from error


def _figures(opened: "Repository") -> dict[str, Any]:
    published, assignments = opened.published, opened.assignments
    now = datetime.now(UTC)
    problems = [f"{path}: is missing or altered" for path in opened.damaged()]
    problems += [f"{role} has expired: lines take nothing new" for role, (at, _) in opened.expiries.items() if at < now]
    return {
        "bundles": {name: {"kind": each.kind, "size": each.size} for name, each in published.items()},
        "assignments": assignments.model_dump(),
        "expires": {role: at.isoformat() for role, (at, _) in opened.expiries.items()},
        "problems": problems,
    }


def _bundles_table(found: dict[str, Any]) -> Any:
    table = folding_table("bundle", "kind", "MB")
    for name, each in sorted(found["bundles"].items()):
        table.add_row(name, each["kind"], f"{each['size'] / 1e6:.1f}")
    return table


def _assignments_table(assignments: dict[str, Any]) -> Any:
    table = folding_table("line", *KINDS)
    for line, bundles in (("all lines", assignments["all_lines"]), *assignments["lines"].items()):
        table.add_row(line, *(bundles[kind] or ("none" if line == "all lines" else "as all lines") for kind in KINDS))
    return table


def _expiry_table(found: dict[str, Any]) -> Any:
    table = folding_table("signed by", "expires (UTC)")
    for role, at in found["expires"].items():
        table.add_row(role, at[:16].replace("T", " "))
    return table
