"""`inspectd users`: who may use the operator's page, and as what."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inspectd.errors import AccountError, ConfigError
from inspectd.records.audit import AuditTrail, Detail
from inspectd.records.users import LOCKED_AFTER, Role, Users
from inspectd.terminal import console, folding_table

if TYPE_CHECKING:
    from collections.abc import Callable

_STATE = Path("/var/lib/inspectd-web")
_EPILOG = """\
the first user, after the installation:
  sudo inspectd users add anna --role admin

roles: a viewer looks; an operator also acknowledges stops and reviews labels; an engineer also changes engines and the
expected text; an admin also changes users.

exit codes: 0 done; 1 it can't be done, and nothing has changed; 74 the folder can't be written; 78 wrong usage of the folder"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `users`; each sets `verb` to a function that takes the other options by their names."""
    parser.description = (
        "Adds, changes and removes the users of the operator's page. Each change is in its audit trail."
    )
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = _verb(verbs, "add", "add a user; asks for the password", _add)
    _add_role(verb)
    _add_password(verb)
    _verb(verbs, "list", "show the users, their roles, and who is locked out", _list, has_name=False)
    _add_role(_verb(verbs, "role", "give a user another role; it counts at once", _role))
    _add_password(_verb(verbs, "password", "give a user a new password, which logs the user out", _password))
    _verb(verbs, "remove", "remove a user, which logs the user out", _remove)
    _verb(verbs, "unlock", f"let a user try again after {LOCKED_AFTER} failed logins", _unlock)


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    about: str,
    run: "Callable[..., int]",
    *,
    has_name: bool = True,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    if has_name:
        verb.add_argument("name", metavar="NAME")
    verb.add_argument(
        "--state",
        type=Path,
        default=_STATE,
        metavar="FOLDER",
        help="`state` of the page's config; default: %(default)s",
    )
    verb.set_defaults(verb=run)
    return verb


def _add_role(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--role", required=True, choices=[role.name.lower() for role in Role], help="what the user may do"
    )


def _add_password(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input, without asking"
    )


def _add(name: str, role: str, password_stdin: bool, state: Path) -> int:
    users, trail = _open(state)
    password_hash = _ask(name, password_stdin)
    _record(trail, "user_added", {"user": name, "role": role})
    users.add(name, Role[role.upper()], password_hash)
    print(f"{name} may log in as {role}")
    return 0


def _list(state: Path) -> int:
    users, _ = _open(state)
    table = folding_table("name", "role", "login")
    for account in users.all():
        locked_at = ", ".join(users.locked_at(account.name))
        table.add_row(account.name, account.role.name.lower(), f"locked at {locked_at}" if locked_at else "")
    console().print(table)
    return 0


def _role(name: str, role: str, state: Path) -> int:
    users, trail = _open(state)
    _record(trail, "user_changed", {"user": name, "role": role})
    users.set_role(name, Role[role.upper()])
    return 0


def _password(name: str, password_stdin: bool, state: Path) -> int:
    users, trail = _open(state)
    password_hash = _ask(name, password_stdin)
    _record(trail, "user_changed", {"user": name, "password": "new"})
    users.set_password(name, password_hash)
    return 0


def _remove(name: str, state: Path) -> int:
    users, trail = _open(state)
    _record(trail, "user_removed", {"user": name})
    users.remove(name)
    return 0


def _unlock(name: str, state: Path) -> int:
    users, trail = _open(state)
    _record(trail, "user_unlocked", {"user": name})
    users.unlock(name)
    return 0


def _open(state: Path) -> tuple[Users, AuditTrail]:
    """As the owner of the folder: what root would make there, the page could not read."""
    try:
        owner = state.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.setegid(owner.st_gid)
            os.seteuid(owner.st_uid)
    except OSError as error:
        raise ConfigError(f"--state: {state} can't be used: {error.strerror}") from error
    return Users(state), AuditTrail(state / "audit.sqlite")


def _ask(name: str, from_stdin: bool) -> str:
    """The hash of a new password. Raises AccountError, ConfigError."""
    try:
        from inspectd.records.passwords import hash_password
    except ModuleNotFoundError as error:
        raise ConfigError(f"inspectd users needs {error.name}: install it with pip install 'inspectd[web]'") from error
    if from_stdin:
        return hash_password(name, sys.stdin.readline().rstrip("\n"))
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("The same again: ") != password:
        raise AccountError("the two passwords are not the same")
    return hash_password(name, password)


def _record(trail: AuditTrail, action: str, detail: dict[str, Detail]) -> None:
    """Written before the change, also if the change is refused then."""
    trail.append(f"{getpass.getuser()} (command line)", action, detail)
