"""`inspectd report`: summarise what the journal recorded in a range of time. It reads while the line writes."""

import argparse
import dataclasses
import json
import re
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from inspectd.commands.report.tables import tables
from inspectd.errors import ConfigError, JournalError
from inspectd.records.parts_csv import write_csv
from inspectd.records.reading import UNREADABLE, open_for_reading
from inspectd.records.summary import summarise
from inspectd.terminal import console

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LATEST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Options:
    config: Path | None
    journal: Path | None
    last: str
    since: str | None
    until: str | None
    json: bool
    csv: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "example:\n  inspectd report --config /etc/inspectd/line.yaml --last 8h\n\n"
        "exit code 1 if the books of the range do not balance"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, metavar="FILE", help="the line's YAML file; its journal is read")
    source.add_argument("--journal", type=Path, metavar="FILE", help="a journal file")
    span = parser.add_mutually_exclusive_group()
    span.add_argument("--last", default="1h", metavar="SPAN", help="such as 30m, 8h or 7d; default: 1h")
    span.add_argument(
        "--since", metavar="TIME", help="ISO 8601, such as 2026-11-24T06:00; local time if it names no time zone"
    )
    parser.add_argument("--until", metavar="TIME", help="the end of the range, with --since; default: now")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the summary as JSON")
    form.add_argument("--csv", action="store_true", help="print every part of the range as one CSV row")
    parser.set_defaults(verb=lambda **options: run(Options(**options)))


def run(options: Options) -> int:
    """Raises ConfigError if the range is wrong, JournalError if the file is not a journal or is damaged."""
    path = options.journal
    if path is None:
        from inspectd.config import load_config

        assert options.config is not None  # the parser demands one of the two
        path = load_config(options.config).journal.path
    span = _span(options)
    try:
        with closing(open_for_reading(path)) as connection:
            if options.csv:
                write_csv(connection, span, sys.stdout)
                return 0
            summary = summarise(connection, *span)
    except UNREADABLE as error:
        raise JournalError(
            f"{path}: can't be read to its end, it may be damaged ({error}); the line sets a damaged journal aside when it "
            "starts"
        ) from error
    if options.json:
        figures = dataclasses.asdict(summary)
        print(json.dumps({**figures, "triggers": summary.triggers, "books_balance": summary.books_balance}, indent=2))
    else:
        screen = console()
        for table in tables(summary):
            screen.print(table)
    return int(not summary.books_balance)


def _span(options: Options) -> tuple[int, int]:
    """The range in UTC nanoseconds, its end excluded. Raises ConfigError."""
    now = datetime.now().astimezone()
    if options.since is None:
        return _ns(_before(now, options.last)), _ns(now) + 1
    since = _time("--since", options.since)
    until = _time("--until", options.until) if options.until else now
    if until <= since:
        raise ConfigError(f"--until {options.until}: must be later than --since {options.since}")
    return _ns(since), _ns(until)


def _before(now: datetime, text: str) -> datetime:
    match = re.fullmatch(r"(\d+)([mhd])", text)
    if match is None:
        raise ConfigError(f"--last {text}: is not a time span; allowed are a number and m, h or d, such as 8h")
    try:
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise ConfigError(f"--last {text}: begins before the year 1; give a shorter span") from error


def _time(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{option} {text}: is not an ISO 8601 time, such as 2026-11-24T06:00") from error


def _ns(moment: datetime) -> int:
    return max(-_LATEST_NS, min(int(moment.timestamp() * 1e9), _LATEST_NS - 1))
