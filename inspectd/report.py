"""`inspectd report`: what the journal says about a range of time. Reads while the line writes."""

import argparse
import csv
import dataclasses
import json
import re
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from inspectd.config import load_config
from inspectd.errors import ConfigError
from inspectd.journal import open_for_reading

STAGES = ("acquire_us", "queue_us", "preprocess_us", "infer_us", "record_us", "verdict_us", "gate_lateness_us")
_PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
_LISTED = 50
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Summary:
    """One range. `latency_ms` holds percentiles per stage; `unrecorded` parts were rejected without a row of their own."""

    since: str
    until: str
    parts: int
    passed: int
    faults: dict[str, int]
    uncertain: int
    missed: dict[str, int]
    unrecorded: int
    gate: dict[str, int]
    not_driven: list[dict[str, object]]
    """Labels to look for: their reject could not be driven, or came when they had gone by. Keys: columns of the journal."""
    outages: list[dict[str, object]]
    latency_ms: dict[str, dict[str, float]]

    @property
    def triggers(self) -> int:
        return self.parts + self.unrecorded

    @property
    def yield_share(self) -> float:
        return self.passed / self.triggers if self.triggers else float("nan")

    @property
    def books_balance(self) -> bool:
        """triggers = pass + fault + uncertain + missed"""
        closed = self.passed + sum(self.faults.values()) + self.uncertain + sum(self.missed.values())
        return self.parts == closed


def summarise(connection: sqlite3.Connection, t_from_ns: int, t_to_ns: int) -> Summary:
    """Everything about the parts triggered in [t_from_ns, t_to_ns) (UTC) and the outages that touch it."""
    span = (t_from_ns, t_to_ns)
    count = "SELECT {}, count(*) FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ? {} GROUP BY 1 ORDER BY 2 DESC"
    verdicts = Counter(dict(map(tuple, connection.execute(count.format("verdict", ""), span))))
    outages = _rows(
        connection,
        "SELECT kind, t_from_utc_ns, t_to_utc_ns, parts, detail FROM outages "
        "WHERE t_from_utc_ns < ? AND coalesce(t_to_utc_ns, t_from_utc_ns) >= ? ORDER BY t_from_utc_ns",
        (t_to_ns, t_from_ns),
    )
    not_driven = _rows(
        connection,
        "SELECT id, t_utc_ns, verdict, class, reason, gate_lateness_us FROM parts "
        "WHERE t_utc_ns >= ? AND t_utc_ns < ? AND gate_outcome = 'not_driven' ORDER BY id",
        span,
    )
    return Summary(
        since=_iso(t_from_ns),
        until=_iso(t_to_ns),
        parts=verdicts.total(),
        passed=verdicts["pass"],
        faults=dict(map(tuple, connection.execute(count.format("class", "AND verdict = 'fault'"), span))),
        uncertain=verdicts["uncertain"],
        missed=dict(map(tuple, connection.execute(count.format("reason", "AND verdict = 'missed'"), span))),
        unrecorded=sum(int(str(outage["parts"])) for outage in outages),
        gate=dict(map(tuple, connection.execute(count.format("gate_outcome", "AND gate_outcome IS NOT NULL"), span))),
        not_driven=not_driven,
        outages=outages,
        latency_ms={stage.removesuffix("_us"): _percentiles(connection, stage, span) for stage in STAGES},
    )


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
    """Raises ConfigError for a range that can't be read, JournalError for a file that is no journal."""
    path = args.journal or load_config(args.config).journal.path
    t_from_ns, t_to_ns = _span(args)
    with closing(open_for_reading(path)) as connection:
        if args.csv:
            _write_csv(connection, t_from_ns, t_to_ns)
            return 0
        summary = summarise(connection, t_from_ns, t_to_ns)
    if args.json:
        figures = dataclasses.asdict(summary)
        print(json.dumps({**figures, "triggers": summary.triggers, "books_balance": summary.books_balance}, indent=2))
    else:
        console = Console()
        for table in tables(summary):
            console.print(table)
    return int(not summary.books_balance)


def tables(summary: Summary) -> list[Table]:
    """The report for people."""
    parts = Table("", "parts", "share", title=f"{summary.since} to {summary.until}", min_width=48)
    rows = {
        "triggers": summary.triggers,
        "passed": summary.passed,
        **{f"fault: {name}": count for name, count in summary.faults.items()},
        "uncertain": summary.uncertain,
        **{f"missed: {reason}": count for reason, count in summary.missed.items()},
        "rejected without a row": summary.unrecorded,
        "NOT DRIVEN: look for these labels": len(summary.not_driven),
    }
    for name, count in rows.items():
        share = f"{count / summary.triggers:.2%}" if summary.triggers else "-"
        parts.add_row(name, str(count), share)
    parts.caption = "the books balance" if summary.books_balance else "[red]THE BOOKS DO NOT BALANCE"
    latency = Table("ms", *_PERCENTILES, title="where the time goes", min_width=48)
    for stage, figures in summary.latency_ms.items():
        latency.add_row(stage, *(f"{figures[name]:.2f}" if figures else "-" for name in _PERCENTILES))
    wanted = [parts, latency]
    if summary.not_driven:
        wanted.insert(1, _not_driven_table(summary.not_driven))
    if summary.outages:
        wanted.append(_outages_table(summary.outages))
    return wanted


def _outages_table(outages: list[dict[str, object]]) -> Table:
    table = Table("outage", "from", "to", "parts", "detail", title="intervals without full inspection")
    for outage in outages:
        t_to_ns = outage["t_to_utc_ns"]
        table.add_row(
            str(outage["kind"]),
            _iso(int(str(outage["t_from_utc_ns"]))),
            "open" if t_to_ns is None else _iso(int(str(t_to_ns))),
            str(outage["parts"]),
            str(outage["detail"]),
        )
    return table


def _not_driven_table(not_driven: list[dict[str, object]]) -> Table:
    table = Table("part", "triggered", "verdict", "reject late by", title="look for these labels")
    for label in not_driven[:_LISTED]:
        late_us = int(str(label["gate_lateness_us"]))
        table.add_row(
            str(label["id"]),
            _iso(int(str(label["t_utc_ns"]))),
            str(label["reason"] or label["class"] or label["verdict"]),
            f"{late_us / 1000:.0f} ms" if late_us else "not driven",
        )
    if len(not_driven) > _LISTED:
        table.caption = f"and {len(not_driven) - _LISTED} more: --csv has them all"
    return table


def _rows(connection: sqlite3.Connection, sql: str, values: tuple[int, int]) -> list[dict[str, object]]:
    return [dict(row) for row in connection.execute(sql, values)]


def _percentiles(connection: sqlite3.Connection, stage: str, span: tuple[int, int]) -> dict[str, float]:
    assert stage in STAGES
    values = [
        value
        for (value,) in connection.execute(
            f"SELECT {stage} FROM parts WHERE {stage} IS NOT NULL AND t_utc_ns >= ? AND t_utc_ns < ?",  # noqa: S608
            span,
        )
    ]
    if not values:
        return {}
    found = np.percentile(values, list(_PERCENTILES.values())) / 1000
    return {name: round(float(value), 3) for name, value in zip(_PERCENTILES, found, strict=True)}


def _span(args: argparse.Namespace) -> tuple[int, int]:
    now = datetime.now().astimezone()
    if args.since is None:
        match = re.fullmatch(r"(\d+)([mhd])", args.last)
        if match is None:
            raise ConfigError(f"--last {args.last}: is no span; allowed are a number and m, h or d, such as 8h")
        return _ns(now - timedelta(**{_UNITS[match[2]]: int(match[1])})), _ns(now) + 1
    since = _time("--since", args.since)
    until = _time("--until", args.until) if args.until else now
    if until <= since:
        raise ConfigError(f"--until {args.until}: must be later than --since {args.since}")
    return _ns(since), _ns(until)


def _time(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ConfigError(f"{option} {text}: is no ISO 8601 time, such as 2026-11-24T06:00") from error


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def _iso(utc_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ns / 1e9))


def _write_csv(connection: sqlite3.Connection, t_from_ns: int, t_to_ns: int) -> None:
    rows = connection.execute(
        "SELECT parts.*, engines.name AS engine_name, engines.hash AS engine_hash FROM parts "
        "JOIN engines ON engines.id = parts.engine WHERE t_utc_ns >= ? AND t_utc_ns < ? ORDER BY parts.id",
        (t_from_ns, t_to_ns),
    )
    writer = csv.writer(sys.stdout)
    writer.writerow(column[0] for column in rows.description)
    writer.writerows(rows)
