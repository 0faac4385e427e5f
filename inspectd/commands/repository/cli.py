"""The verbs of `inspectd repository`."""

import argparse
from pathlib import Path

from inspectd.commands.repository import publishing

_EPILOG = """\
a new engine, on one line first, then on all:
  inspectd repository publish /srv/inspectd engines/filter-label --keys keys
  inspectd repository assign /srv/inspectd filter-label-2.0.1 --line line-3 --keys keys
  inspectd repository assign /srv/inspectd filter-label-2.0.1 --keys keys
  inspectd repository show /srv/inspectd

exit codes: 0 done; 1 `show` found something expired, damaged or missing, or the repository was altered; 2 wrong usage;
78 bundle, key or folder rejected"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `repository`; each sets `verb` to a function that takes the other options by their names."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser(
        "init",
        help="make an empty repository and its three keys",
        description="Makes the folder and the keys of root, targets and timestamp. Each line trusts KEYS/root.json. "
        "When something has expired, lines go on with what they have and take nothing new.",
    )
    _add_repository(verb)
    verb.add_argument(
        "--keys", type=Path, required=True, metavar="FOLDER", help="new folder for the private keys, outside REPOSITORY"
    )
    for role, days, what in (
        ("root", 3650, "the names of all keys"),
        ("targets", 365, "the list of bundles and assignments"),
        ("timestamp", 14, "the promise that nothing newer exists"),
    ):
        verb.add_argument(
            f"--{role}-days",
            type=_days,
            default=days,
            metavar="DAYS",
            help=f"{what} is valid so long; default: %(default)s",
        )
    verb.set_defaults(verb=publishing.init)

    verb = verbs.add_parser(
        "publish",
        help="add a bundle; no line uses it before it is assigned",
        description="Checks every SHA-256 of the engine or reader, and copies it into the repository as NAME-VERSION.",
    )
    _add_repository(verb)
    verb.add_argument("bundle", type=Path, metavar="BUNDLE", help="such as engines/filter-label")
    _add_keys(verb, "targets and timestamp")
    verb.set_defaults(verb=publishing.publish)

    verb = verbs.add_parser(
        "assign",
        help="say which engine or reader all lines use, or one line",
        description="Without --line, all lines use the bundle, except those with one of their own. A line has no longer one of "
        "its own when all lines get the same. To go back, assign the bundle before.",
    )
    _add_repository(verb)
    verb.add_argument(
        "bundle", metavar="NAME-VERSION", nargs="?", help="such as filter-label-2.0.1, as `show` names it"
    )
    verb.add_argument(
        "--line",
        action="append",
        default=[],
        dest="lines",
        metavar="NAME",
        help="`name` in the line's config; several times for several",
    )
    verb.add_argument(
        "--follow", action="store_true", help="instead of a bundle: these lines use again what all lines use"
    )
    _add_keys(verb, "targets and timestamp")
    verb.set_defaults(verb=publishing.assign)

    verb = verbs.add_parser(
        "renew",
        help="sign again what expires; run it every day",
        description="Signs snapshot and timestamp again, and targets and root when half of their time has gone and their key "
        "is there. A timer needs the key of timestamp only.",
    )
    _add_repository(verb)
    _add_keys(verb, "timestamp")
    verb.set_defaults(verb=publishing.renew)

    verb = verbs.add_parser(
        "rotate",
        help="replace a key, for example one that was stolen",
        description="Makes a new key for a role. From then on, lines refuse what only the old key has signed. Needs the key of "
        "root. The new key is written to the first --keys folder.",
    )
    _add_repository(verb)
    verb.add_argument("role", choices=("root", "targets", "timestamp"), help="whose key")
    _add_keys(verb, "root and of the role, and timestamp")
    verb.set_defaults(verb=publishing.rotate)

    verb = verbs.add_parser("show", help="show what is published, who uses it, and what expires when; check all files")
    _add_repository(verb)
    verb.add_argument("--json", action="store_true", dest="as_json", help="print JSON instead of tables")
    verb.set_defaults(verb=publishing.show)


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 36_500:
        raise argparse.ArgumentTypeError("1 to 36500 days are allowed")
    return days


def _add_repository(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("repository", type=Path, metavar="REPOSITORY", help="folder that the web server shows")


def _add_keys(verb: argparse.ArgumentParser, of: str) -> None:
    verb.add_argument(
        "--keys",
        type=Path,
        action="append",
        required=True,
        metavar="FOLDER",
        help=f"folder with the key of {of}; several times if they are in several folders",
    )
