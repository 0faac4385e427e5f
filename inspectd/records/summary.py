"""What the journal says about a range of time, in figures."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inspectd.part import TEXT_NOT_EXPECTED, Fault, Missed, Pass, Uncertain
from inspectd.records.accounts import Accounts, Span, account, unanswered
from inspectd.records.latency import latency_ms

# Passes are counted, not inferred: the books must show a part that is neither a pass nor a reject.
_COUNTS = "SELECT count(*), count(*) FILTER (WHERE verdict = 'pass') FROM parts WHERE t_utc_ns >= ? AND t_utc_ns < ?"
_REJECTS = """
SELECT verdict, reason, class, count(*) FROM parts
WHERE verdict <> 'pass' AND +t_utc_ns >= ? AND +t_utc_ns < ? GROUP BY 1, 2, 3
"""
_ANOMALIES = """
SELECT anomaly_kind, count(*) FROM parts
WHERE verdict <> 'pass' AND reason = 'anomaly' AND +t_utc_ns >= ? AND +t_utc_ns < ? GROUP BY 1 ORDER BY 2 DESC, 1
"""
_GATE = """
SELECT gate_outcome, count(*) FROM parts
WHERE t_utc_ns >= ? AND t_utc_ns < ? AND gate_outcome IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1
"""

# If the clock was set, an end may be before its begin: the interval is then anywhere between the two.
_OUTAGES = """
SELECT kind, t_from_utc_ns, t_to_utc_ns, parts, detail, duration_ns FROM outages
WHERE kind <> 'not_driven' AND min(t_from_utc_ns, coalesce(t_to_utc_ns, t_from_utc_ns)) < ?
    AND (t_to_utc_ns IS NULL OR max(t_from_utc_ns, t_to_utc_ns) >= ?)
ORDER BY id
"""

_NOT_DRIVEN = """
SELECT id, t_utc_ns, verdict, class, reason, gate_lateness_us FROM parts
WHERE t_utc_ns >= :since AND t_utc_ns < :until AND gate_outcome = 'not_driven'
UNION ALL
SELECT first_part, t_from_utc_ns, 'missed', NULL, 'record_error', NULL FROM outages
WHERE t_from_utc_ns >= :since AND t_from_utc_ns < :until AND kind = 'not_driven'
"""

_STOPS = """
SELECT reason, t_utc_ns, acknowledged_utc_ns, duration_ns, acknowledged_by, acknowledged_uid, acknowledged_pid
FROM (SELECT stops.*, coalesce(acknowledged_utc_ns, ended_utc_ns) AS t_to_utc_ns
    FROM stops LEFT JOIN sessions ON sessions.id = stops.session)
WHERE min(t_utc_ns, coalesce(t_to_utc_ns, t_utc_ns)) < ? AND (t_to_utc_ns IS NULL OR max(t_utc_ns, t_to_utc_ns) >= ?)
ORDER BY id
"""

_TEXTS = """
SELECT field, texts.verdict, count(*) FROM parts JOIN texts ON texts.part = parts.id
WHERE t_utc_ns >= ? AND t_utc_ns < ? GROUP BY 1, 2 ORDER BY 1, 3 DESC
"""
# CROSS JOIN keeps the order of the tables: wrong texts are few, and an index has them.
_WRONG_CHARACTERS = """
SELECT field, character, character_expected AS expected, character_found AS found, count(*) AS parts
FROM texts CROSS JOIN parts ON parts.id = texts.part
WHERE texts.verdict <> 'right' AND character IS NOT NULL AND +t_utc_ns >= :since AND +t_utc_ns < :until
    AND part >= (SELECT min(id) FROM parts WHERE t_utc_ns >= :since AND t_utc_ns < :until)
    AND part <= (SELECT max(id) FROM parts WHERE t_utc_ns >= :since AND t_utc_ns < :until)
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4 LIMIT 50
"""

_STEPS_LISTED = 50


@dataclass(frozen=True, slots=True)
class Summary:
    """One range. `latency_ms` holds percentiles per stage. `unrecorded` parts were rejected and have no row."""

    since: str
    until: str
    parts: int
    passed: int
    faults: dict[str, int]
    uncertain: int
    anomalies: dict[str, int]
    """How many of `uncertain` the guard stopped, by the kind of anomaly."""
    not_expected: int
    """How many of `uncertain` have a text that nobody has announced."""
    missed: dict[str, int]
    unrecorded: int
    gate: dict[str, int]
    not_driven: list[dict[str, object]]
    """Labels to look for: their reject could not be driven, or came after the label was gone, or the gate never answered. The
    keys are columns of the journal, and `why`."""
    unconfirmed_passes: int
    """How many of `passed` the gate never confirmed, because the line died. These labels may have been rejected."""
    outages: list[dict[str, object]]
    stops: list[dict[str, object]]
    """Latched stops that were there in the range."""
    texts: dict[str, dict[str, int]]
    """Per text field: how many labels, by the verdict on the field (`right` or why the label was rejected)."""
    wrong_characters: list[dict[str, object]]
    """The 50 most frequent ones: `field`, `character` (its place), `expected`, `found`, and in how many `parts`."""
    accounts: Accounts
    latency_ms: dict[str, dict[str, float]]

    @property
    def triggers(self) -> int:
        return self.parts + self.unrecorded

    @property
    def yield_share(self) -> float:
        return self.passed / self.triggers if self.triggers else float("nan")

    @property
    def books_balance(self) -> bool:
        """triggers = pass + fault + uncertain + missed, every part number has a record, and the line counted as many labels."""
        closed = self.passed + sum(self.faults.values()) + self.uncertain + sum(self.missed.values())
        return self.parts == closed and self.accounts.lost == 0 and not self.accounts.miscounted


def summarise(connection: sqlite3.Connection, t_from_ns: int, t_to_ns: int) -> Summary:
    """The parts triggered in [t_from_ns, t_to_ns) (UTC) and the outages that touch it, all read at one moment.

    Raises sqlite3.Error.
    """
    connection.execute("BEGIN")
    try:
        return _summarise(connection, (t_from_ns, t_to_ns))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _summarise(connection: sqlite3.Connection, span: Span) -> Summary:
    parts, passed = connection.execute(_COUNTS, span).fetchone()
    rejects = [tuple(row) for row in connection.execute(_REJECTS, span)]
    faults = _sum(
        (reason or predicted, count) for verdict, reason, predicted, count in rejects if verdict == Fault.word
    )
    missed = _sum((reason, count) for verdict, reason, _, count in rejects if verdict == Missed.word)
    outages = _rows(connection, _OUTAGES, (span[1], span[0]))
    named_span = {"since": span[0], "until": span[1]}
    not_driven = _rows(connection, _NOT_DRIVEN, named_span)
    to_look_for = [{**row, "why": "not driven"} for row in not_driven]
    silent = unanswered(connection, span)
    to_look_for += [{**dict(row), "why": "the gate never answered"} for row in silent if row["verdict"] != Pass.word]
    return Summary(
        since=iso(span[0]),
        until=iso(span[1]),
        parts=parts,
        passed=passed,
        faults=faults,
        uncertain=sum(count for verdict, *_, count in rejects if verdict == Uncertain.word),
        anomalies=dict(map(tuple, connection.execute(_ANOMALIES, span))),
        not_expected=sum(count for _, reason, _, count in rejects if reason == TEXT_NOT_EXPECTED),
        missed=missed,
        unrecorded=sum(int(str(outage["parts"])) for outage in outages),
        gate=dict(map(tuple, connection.execute(_GATE, span))),
        not_driven=sorted(to_look_for, key=lambda row: int(str(row["id"]))),
        unconfirmed_passes=sum(row["verdict"] == Pass.word for row in silent),
        outages=outages,
        stops=_rows(connection, _STOPS, (span[1], span[0])),
        texts=_texts(connection, span),
        wrong_characters=_rows(connection, _WRONG_CHARACTERS, named_span),
        accounts=account(connection, span),
        latency_ms=latency_ms(connection, span),
    )


def _sum(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The counts of each key, the highest first."""
    total: Counter[str] = Counter()
    for key, count in counts:
        total[key] += count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _rows(
    connection: sqlite3.Connection, sql: str, values: tuple[int, int] | dict[str, int]
) -> list[dict[str, object]]:
    return [dict(row) for row in connection.execute(sql, values)]


def _texts(connection: sqlite3.Connection, span: Span) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for field, verdict, parts in connection.execute(_TEXTS, span):
        found.setdefault(field, {})[verdict] = parts
    return found


def iso(utc_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ns / 1e9))


def findings(accounts: Accounts) -> Iterator[str]:
    """What is wrong with the records of a range: a sentence each."""
    if accounts.lost:
        yield f"{accounts.lost} part numbers have no record: rows were deleted or lost"
    for each in accounts.miscounted:
        yield f"session {each['session']}: the line counted {each['triggers']} labels, but the journal has {each['accounted']}"
    if accounts.doubtful_times or accounts.doubtful_elsewhere:
        yield (
            f"{accounts.doubtful_times} parts of this range have doubtful times, and {accounts.doubtful_elsewhere} parts "
            "outside it may belong to it, because the clock was wrong or was set"
        )
    for step in accounts.clock_steps[:_STEPS_LISTED]:
        t_from_ns, t_to_ns = int(str(step["t_from_utc_ns"])), int(str(step["t_to_utc_ns"]))
        yield f"the clock was set from {iso(t_from_ns)} to {iso(t_to_ns)}, after part {step['after_part']}"
    for reason, count in accounts.deleted.items():
        yield f"{count} of the oldest parts have been deleted because of journal.{reason}"
    if accounts.images_lost:
        yield f"{accounts.images_lost} images were dropped or could not be stored"
    if accounts.notes_lost:
        yield f"{accounts.notes_lost} outcomes, durations or image names could not be recorded"
