"""`inspectd audit`: who did what on the operator's page, and whether the trail was altered."""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from inspectd.records.audit import AuditTrail, verify
from inspectd.terminal import console, folding_table

_TRAIL = Path("/var/lib/inspectd-web/audit.sqlite")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `audit`; each sets `verb` to a function that takes the other options by their names."""
    parser.description = "Shows and checks the audit trail: every login, acknowledgement, review, export and change."
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser(
        "verify",
        help="find rows that were altered, removed, inserted or moved",
        description="Computes the hash of each row again, and compares the newest one with audit.head. Somebody who may write "
        "both files can make a whole new trail: compare with the log, which has number and hash of each row (--head). "
        "Exit code 1 if something was altered.",
    )
    _add_path(verb)
    verb.add_argument(
        "--head",
        type=_known,
        metavar="NUMBER:HASH",
        help="a row as the log names it: journalctl -u inspectd-web --grep audit",
    )
    verb.set_defaults(verb=_verify)

    verb = verbs.add_parser("list", help="show the newest rows")
    _add_path(verb)
    verb.add_argument("--last", type=int, default=100, metavar="N", help="how many; default: %(default)s")
    verb.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object per row")
    verb.set_defaults(verb=_list)


def _add_path(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("path", type=Path, nargs="?", default=_TRAIL, metavar="PATH", help="default: %(default)s")


def _known(text: str) -> tuple[int, str]:
    number, _, hash_ = text.partition(":")
    if not number.isdecimal() or not hash_:
        raise argparse.ArgumentTypeError(f"{text!r} must be NUMBER:HASH, as in the log")
    return int(number), hash_


def _verify(path: Path, head: tuple[int, str] | None) -> int:
    findings = verify(path, head)
    for finding in findings:
        console().print(finding)
    if not findings:
        newest = AuditTrail(path).entries(limit=1)
        print(f"nothing was altered: {newest[0].number if newest else 0} rows")
    return int(bool(findings))


def _list(path: Path, last: int, as_json: bool) -> int:
    entries = AuditTrail(path).entries(limit=last)
    if as_json:
        for entry in entries:
            print(json.dumps(asdict(entry)))
        return 0
    table = folding_table("row", "time", "who", "from", "action", "detail")
    for entry in entries:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.t_utc_ns / 1e9))
        detail = ", ".join(f"{key}: {value}" for key, value in entry.detail.items())
        table.add_row(str(entry.number), moment, entry.who, entry.address, entry.action, detail)
    console().print(table)
    return 0
