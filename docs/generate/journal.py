"""Reference of the journal's tables, from the SQL that makes them."""

import inspect
import re
from collections.abc import Iterator

from prose import code, prose, table

from inspectd.gate.outcome import Outcome
from inspectd.records import journal_schema

_HEAD = f"""# Journal

The journal is one SQLite file (`journal.path`), schema version {journal_schema.SCHEMA_VERSION}. Only the daemon writes it.
Any program may read it while the line runs, for example with `sqlite3 -readonly`; `inspectd report --csv` and `--json` need
no SQL. Keep a read short: while it lasts, the journal's log file grows.

- Every `*_utc_ns` is a wall-clock time in nanoseconds since 1970. It is a label for people; the wall clock can be set.
- Every `*_mono_ns` is a time of the monotonic clock, in nanoseconds since this machine was started. Durations are computed from these.
- Every `*_us` is a duration in microseconds.
- A cell that may be empty is NULL in SQL.

A program that follows the line remembers the highest `change` that it has seen, and asks for the rows above it. The line gives the
next number to each row of `parts`, `stops`, `outages` and `sessions` that it inserts or amends, in the same transaction. In Python,
`inspectd.records.feed.Feed` does this. If `feed.journal` changes, a new journal has begun, and its numbers begin at 1.

For example, how often each verdict and reason occurred, and the last ten rejects:

```sql
SELECT verdict, reason, count(*) FROM parts GROUP BY verdict, reason;
SELECT id, datetime(t_utc_ns / 1000000000, 'unixepoch') AS utc, verdict, class, certainty
FROM parts WHERE verdict <> 'pass' ORDER BY id DESC LIMIT 10;
```

These queries stay quick among millions of passes: an index holds all parts with `verdict <> 'pass'`.

`reason` is empty if the label passed, and if the class says why it was rejected. Its values:

| value | why the label was rejected |
| --- | --- |
| `lost_frame` | a gap in the camera's frame counter, or a trigger without an image |
| `bad_frame` | an incomplete image |
| `overrun` | the queue was full, and the oldest image was dropped |
| `late` | the verdict came too late, or run permit was off |
| `stale_frame` | the image was too old, or the same as one before |
| `engine_error` | the inference failed |
| `record_error` | the verdict could not be recorded |
| `anomaly` | the guard found a place that is unlike good labels |
| `text_wrong` | a text is not the expected one |
| `text_unreadable` | a text can't be read well enough to say that it is the expected one |
| `text_missing` | a text is not there |
| `code_unreadable` | a code can't be read |
| `code_wrong` | a code does not have the expected content |
| `text_not_expected` | nobody has said what a text or code must be |

Journals of earlier versions are brought up to date when the line opens them. No row is lost by that.
"""  # noqa: S608 - an example

_TABLE = re.compile(r"CREATE TABLE (\w+) \((?: *-- *([^\n]*))?\n(.*?)\n\) STRICT[^;]*;", re.DOTALL)
_COLUMN = re.compile(r"^ *(\w+) (INTEGER|TEXT|REAL)([^\n]*?),?(?: *-- *([^\n]*))?$", re.MULTILINE)
_MEMBER = re.compile(r"^ +([A-Z_]+) = \d+  # (.*)$", re.MULTILINE)


def page() -> str:
    return "\n\n".join([_HEAD, *_tables(journal_schema.SCHEMA), *_outcomes()]) + "\n"


def _outcomes() -> Iterator[str]:
    members = _MEMBER.findall(inspect.getsource(Outcome))
    assert [name for name, _ in members] == [outcome.name for outcome in Outcome], "each outcome needs a comment"
    yield "## Words of gate_outcome"
    yield table(["word", "meaning"], [(code(name.lower()), prose(meaning)) for name, meaning in members])


def _tables(sql: str) -> Iterator[str]:
    for name, about, columns in _TABLE.findall(sql):
        rows = [
            (code(column), kind, prose(meaning), "" if _may_be_empty(rule) else "no")
            for column, kind, rule, meaning in _COLUMN.findall(columns)
        ]
        yield f"## {name}"
        yield prose(about)
        yield table(["column", "type", "meaning", "may be empty"], [(*row[:3], row[3] or "yes") for row in rows])


def _may_be_empty(rule: str) -> bool:
    return "NOT NULL" not in rule and "PRIMARY KEY" not in rule
