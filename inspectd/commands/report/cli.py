"""`inspectd report`: what the journal says about a range of time. Reads while the line writes."""

import argparse
import dataclasses
import json
import re
import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from inspectd.commands.report.csv_export import write_csv
from inspectd.commands.report.tables import tables
from inspectd.config import load_config
from inspectd.errors import ConfigError, JournalError
from inspectd.records.journal_file import UNREADABLE, open_for_reading
from inspectd.records.summary import Summary, summarise
from inspectd.terminal import console

__all__ = ["Summary", "add_arguments", "run", "summarise", "tables"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LATEST_NS = 2**63 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "example:\n  inspectd report --config /etc/inspectd/line.yaml --last 8h\n\n"
        "exit code 1 if the books of the range don't balance"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, metavar="FILE", help="the line's YAML file; its journal is read")
    source.add_argument("--journal", type=Path, metavar="FILE", help="a journal file")
    span = parser.add_mutually_exclusive_group()
    span.add_argument("--last", default="1h", metavar="SPAN", help="such as 30m, 8h or 7d; default: 1h")
    span.add_argument("--since", metavar="TIME", help="ISO 8601, such as 2026-11-24T06:00 (local time unless it says)")
    parser.add_argument("--until", metavar="TIME", help="with --since; default: now")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the summary for machines")
    form.add_argument("--csv", action="store_true", help="every part of the range, one row each")


def run(args: argparse.Namespace) -> int:
    """Raises ConfigError for a range that can't be read, JournalError for a file that is not a journal or is damaged."""
    path = args.journal or load_config(args.config).journal.path
    t_from_ns, t_to_ns = _span(args)
    try:
        with closing(open_for_reading(path)) as connection:
            if args.csv:
                _write_csv(connection, t_from_ns, t_to_ns)
                return 0
            summary = summarise(connection, t_from_ns, t_to_ns)
    except UNREADABLE as error:
        raise JournalError(
            f"{path}: can't be read any further, is it damaged? ({error}); the line sets a damaged journal aside when it starts"
        ) from error
    if args.json:
        figures = dataclasses.asdict(summary)
        print(json.dumps({**figures, "triggers": summary.triggers, "books_balance": summary.books_balance}, indent=2))
    else:
        screen = console()
        for table in tables(summary):
            screen.print(table)
    return int(not summary.books_balance)


def _span(args: argparse.Namespace) -> tuple[int, int]:
    now = datetime.now().astimezone()
    if args.since is None:
        match = re.fullmatch(r"(\d+)([mhd])", args.last)
        if match is None:
            raise ConfigError(f"--last {args.last}: is no span; allowed are a number and m, h or d, such as 8h")
        try:
            since = now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError as error:
            raise ConfigError(f"--last {args.last}: is longer than any calendar") from error
        return _ns(since), _ns(now) + 1
    since = _time("--since", args.since)
    until = _time("--until", args.until) if args.until else now
    if until <= since:
        raise ConfigError(f"--until {args.until}: must be later than --since {args.since}")
    return _ns(since), _ns(until)


def _time(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{option} {text}: is no ISO 8601 time, such as 2026-11-24T06:00") from error


def _ns(moment: datetime) -> int:
    return max(-_LATEST_NS, min(int(moment.timestamp() * 1e9), _LATEST_NS - 1))


def _write_csv(connection: sqlite3.Connection, t_from_ns: int, t_to_ns: int) -> None:
    write_csv(connection, (t_from_ns, t_to_ns), sys.stdout)
