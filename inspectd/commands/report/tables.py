"""The report as tables."""

from rich.table import Table
from rich.text import Text

from inspectd.part import ANOMALY, TEXT_NOT_EXPECTED, TEXT_REASONS, Uncertain, VerdictWords
from inspectd.records.journal_schema import RIGHT
from inspectd.records.latency import PERCENTILES
from inspectd.records.summary import Summary, findings, iso
from inspectd.terminal import folding_table, printable

_LISTED = 50
_CHARACTERS = 10


def tables(summary: Summary) -> list[Table]:
    """All tables of the report, in their order."""
    stopped = summary.gate.get("rejected_stopped", 0)
    parts = folding_table("", "parts", "share", title=f"{summary.since} to {summary.until}", min_width=48)
    rows = {
        "triggers": summary.triggers,
        "passed": summary.passed,
        **{f"fault: {name}": count for name, count in summary.faults.items()},
        Uncertain.word: summary.uncertain,
        **{f"  {ANOMALY}: {kind}": count for kind, count in summary.anomalies.items()},
        **({f"  {TEXT_NOT_EXPECTED}": summary.not_expected} if summary.not_expected else {}),
        **{f"missed: {reason}": count for reason, count in summary.missed.items()},
        "rejected without a row": summary.unrecorded,
        **({"passed, not confirmed": summary.unconfirmed_passes} if summary.unconfirmed_passes else {}),
        **({"late because run permit was off": stopped} if stopped else {}),
        "NOT DRIVEN: look for these labels": len(summary.not_driven),
    }
    for name, count in rows.items():
        share = f"{count / summary.triggers:.2%}" if summary.triggers else "-"
        parts.add_row(name, str(count), share)
    parts.caption = "the books balance" if summary.books_balance else Text("THE BOOKS DO NOT BALANCE", "red")
    found = list(findings(summary.accounts))
    latency = folding_table("ms", *PERCENTILES, title="time per stage", min_width=48)
    for stage, figures in summary.latency_ms.items():
        latency.add_row(stage, *(f"{figures[name]:.2f}" if figures else "-" for name in PERCENTILES))
    wanted = [parts, latency]
    if summary.not_driven:
        wanted.insert(1, _not_driven_table(summary.not_driven))
    if summary.texts:
        wanted.append(_texts_table(summary.texts))
    if summary.wrong_characters:
        wanted.append(_characters_table(summary.wrong_characters))
    if summary.outages:
        wanted.append(_outages_table(summary.outages))
    if summary.stops:
        wanted.append(_stops_table(summary.stops))
    if found:
        wanted.append(_findings_table(found))
    return wanted


def _findings_table(found: list[str]) -> Table:
    table = folding_table("problems of the records", min_width=48)
    for finding in found:
        table.add_row(finding)
    return table


def _texts_table(texts: dict[str, dict[str, int]]) -> Table:
    seen = [verdict for verdict in (RIGHT, *TEXT_REASONS) if any(verdict in counts for counts in texts.values())]
    heads = [verdict.replace("_", "\n", 1) for verdict in seen]
    table = folding_table("field", "labels", *heads, title="texts and codes by field", min_width=48)
    for field, counts in texts.items():
        table.add_row(printable(field), str(sum(counts.values())), *(str(counts.get(verdict, "")) for verdict in seen))
    return table


def _characters_table(characters: list[dict[str, object]]) -> Table:
    """Places are counted from 1, as people count."""
    table = folding_table("field", "character", "expected", "found", "labels", title="wrong characters", min_width=48)
    for each in characters[:_CHARACTERS]:
        expected, found = (printable(str(each[name])) or "nothing" for name in ("expected", "found"))
        place = int(str(each["character"])) + 1
        table.add_row(printable(str(each["field"])), str(place), expected, found, str(each["parts"]))
    if len(characters) > _CHARACTERS:
        table.caption = f"the {_CHARACTERS} most frequent ones: --json lists more"
    return table


def _outages_table(outages: list[dict[str, object]]) -> Table:
    table = folding_table("outage", "from", "to", "parts", "detail", title="times without full inspection")
    for outage in outages:
        t_to_ns = outage["t_to_utc_ns"]
        table.add_row(
            str(outage["kind"]),
            iso(int(str(outage["t_from_utc_ns"]))),
            "open" if t_to_ns is None else iso(int(str(t_to_ns))),
            str(outage["parts"]),
            str(outage["detail"]),
        )
    return table


def _stops_table(stops: list[dict[str, object]]) -> Table:
    table = folding_table("stop", "from", "acknowledged", "by", title="latched stops")
    for stop in stops[-_LISTED:]:
        t_to_ns, user, uid = (stop[f"acknowledged_{column}"] for column in ("utc_ns", "by", "uid"))
        table.add_row(
            str(stop["reason"]),
            iso(int(str(stop["t_utc_ns"]))),
            "not acknowledged" if t_to_ns is None else iso(int(str(t_to_ns))),
            "" if user is None else str(user) if uid is None else f"{user} (uid {uid})",
        )
    if len(stops) > _LISTED:
        table.caption = f"the last {_LISTED} of {len(stops)}: --json lists all"
    return table


def _not_driven_table(not_driven: list[dict[str, object]]) -> Table:
    table = folding_table("part", "triggered", "verdict", "reject late by", title="look for these labels")
    for label in not_driven[:_LISTED]:
        late_us = int(str(label["gate_lateness_us"] or 0))
        table.add_row(
            str(label["id"]),
            iso(int(str(label["t_utc_ns"]))),
            _verdict(label),
            f"{late_us / 1000:.0f} ms" if late_us else str(label["why"]),
        )
    if len(not_driven) > _LISTED:
        table.caption = f"and {len(not_driven) - _LISTED} more: --csv lists all"
    return table


def _verdict(row: dict[str, object]) -> str:
    verdict, reason, predicted = (row[column] for column in ("verdict", "reason", "class"))
    return VerdictWords(
        str(verdict), None if reason is None else str(reason), None if predicted is None else str(predicted)
    ).label
