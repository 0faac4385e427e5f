"""The journal's tables, and how a journal of an earlier version becomes one of this version.

No constraint may depend on the wall clock, because it can be set to anything between two commits. Every `*_utc_ns` is a
label for people. Every `*_mono_ns` is CLOCK_MONOTONIC since the machine was booted; durations are computed from it.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from inspectd.errors import JournalError
from inspectd.part import TEXT_FAULTS, TEXT_NOT_EXPECTED, TEXT_REASONS

SCHEMA_VERSION = 7
APPLICATION_ID = 0x1A5BEC7D
"""Marks a SQLite file as a journal of inspectd."""

RIGHT = "right"
"""The verdict on a text field that says what it must."""


def _one_of(words: Sequence[str]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


_VERDICT = "verdict IN ('pass', 'fault', 'uncertain', 'missed')"
_REASON_BEFORE_3 = "(verdict = 'missed') = (reason IS NOT NULL)"
_REASON = (
    f"CASE WHEN reason IN {_one_of(('anomaly', TEXT_NOT_EXPECTED))} THEN verdict = 'uncertain' "
    f"WHEN reason IN {_one_of(TEXT_FAULTS)} THEN verdict = 'fault' ELSE {_REASON_BEFORE_3} END"
)
_CLASS = "verdict = 'missed' OR class IS NOT NULL"
_CERTAINTY = "(class IS NULL) = (certainty IS NULL)"
_KIND = "anomaly_kind IN ('print', 'part', 'turned', 'shifted', 'faded')"
_ANOMALY = " AND ".join(
    f"(reason IS 'anomaly') = (anomaly_{column} IS NOT NULL)"
    for column in ("kind", "left", "top", "width", "height", "excess")
)

_PARTS = f"""CREATE TABLE parts (  -- one row per label
    id INTEGER PRIMARY KEY,  -- part number; goes on over all sessions
    session INTEGER NOT NULL REFERENCES sessions (id),  -- its session
    engine INTEGER NOT NULL REFERENCES engines (id),  -- the engine in use
    frame_number INTEGER NOT NULL,  -- the camera's frame counter
    t_utc_ns INTEGER NOT NULL,  -- time of the trigger
    t_mono_ns INTEGER NOT NULL,  -- time of the trigger
    verdict TEXT NOT NULL CHECK ({_VERDICT}),  -- `pass`, `fault`, `uncertain` or `missed`
    reason TEXT CHECK ({_REASON}),  -- why it was missed; `anomaly` if the guard stopped it; the verdict on a text field that is not `right`
    class TEXT CHECK ({_CLASS}),  -- the class with the highest score; empty if the part was not inspected
    certainty REAL CHECK ({_CERTAINTY}),  -- the highest score
    scores TEXT,  -- scores of all classes, as JSON
    acquire_us INTEGER NOT NULL,  -- trigger to arrival of the image
    queue_us INTEGER NOT NULL,  -- time in the queue
    preprocess_us INTEGER,  -- preprocessing
    infer_us INTEGER,  -- inference
    record_us INTEGER,  -- commit
    verdict_us INTEGER NOT NULL,  -- trigger to verdict
    gate_outcome TEXT,  -- what the gate did: `passed`, `rejected`, `rejected_late`, `rejected_stopped`, `rejected_with_other` or `not_driven`
    gate_lateness_us INTEGER,  -- begin of the pulse minus due time
    image TEXT,  -- the archived image
    anomaly_kind TEXT CHECK ({_KIND}),  -- what is unlike good labels: a place of the `print`, of the `part` around it, or the whole print: `turned`, `shifted` or `faded`
    anomaly_left INTEGER,  -- left edge of the anomaly, in px of the image
    anomaly_top INTEGER,  -- top edge of the anomaly, in px of the image
    anomaly_width INTEGER,  -- width of the anomaly, in px of the image
    anomaly_height INTEGER,  -- height of the anomaly, in px of the image
    anomaly_excess REAL,  -- the anomaly's score as a multiple of the engine's limit, above 1
    guard_us INTEGER,  -- the guard's look; empty if the guard did not look
    text_us INTEGER,  -- verifying texts and codes; empty if they were not looked at
    reader INTEGER REFERENCES engines (id),  -- the reader in use for texts; empty if there is none
    change INTEGER,  -- number of the row's newest change; empty if that is older than schema version 6
    brightness REAL,  -- mean grey level of the image as a share of white, 0 to 1; empty if it was not measured
    sharpness REAL,  -- variance of the image's Laplacian divided by the variance of its grey levels; empty if it was not measured
    CHECK ({_ANOMALY})
) STRICT"""

_TABLES = f"""
CREATE TABLE sessions (  -- one run of the line, from start to end
    id INTEGER PRIMARY KEY,  -- number of the session
    started_utc_ns INTEGER NOT NULL,  -- when it began
    alive_utc_ns INTEGER NOT NULL,  -- when it last wrote, at most a second ago while it runs
    ended_utc_ns INTEGER,  -- when it ended; empty while it runs, and after a crash until the next session begins
    started_mono_ns INTEGER NOT NULL DEFAULT 0,  -- when it began
    alive_mono_ns INTEGER NOT NULL DEFAULT 0,  -- when it last wrote
    clock_steps INTEGER NOT NULL DEFAULT 0,  -- how often the wall clock was set meanwhile
    first_part INTEGER,  -- its first part
    last_part INTEGER,  -- its last part so far
    triggers INTEGER,  -- labels by the line's own count
    accounted INTEGER NOT NULL DEFAULT 0,  -- parts that the journal has recorded or counted as not recorded; differs from `triggers` if something was lost
    images_lost INTEGER NOT NULL DEFAULT 0,  -- images that the archive dropped or could not store
    notes_lost INTEGER NOT NULL DEFAULT 0,  -- outcomes, durations or image names that could not be recorded
    ended_cleanly INTEGER NOT NULL DEFAULT 0,  -- 1: every label had its verdict at the end
    change INTEGER  -- number of the row's newest change; empty if that is older than schema version 6
) STRICT;
CREATE TABLE engines (  -- engines that have judged parts, and readers that have verified their texts
    id INTEGER PRIMARY KEY,  -- number of the engine or reader
    name TEXT NOT NULL,  -- its name, from `engine.yaml` or `reader.yaml`
    hash TEXT NOT NULL,  -- SHA-256 of the bundle's manifest
    UNIQUE (name, hash)
) STRICT;
{_PARTS};
CREATE INDEX parts_by_time ON parts (t_utc_ns);
"""

_OUTAGES = """
CREATE TABLE outages (  -- intervals without full inspection
    id INTEGER PRIMARY KEY,  -- number of the outage
    session INTEGER NOT NULL REFERENCES sessions (id),  -- the session that noted it
    kind TEXT NOT NULL,  -- `camera`, `output`, `record_error`, `not_driven` or `unseen`
    t_from_utc_ns INTEGER NOT NULL,  -- begin
    t_to_utc_ns INTEGER,  -- end; empty while it lasts
    parts INTEGER NOT NULL,  -- parts without a row of their own
    detail TEXT NOT NULL,  -- the cause, in a sentence
    t_from_mono_ns INTEGER,  -- begin
    duration_ns INTEGER,  -- how long it lasted
    first_part INTEGER,  -- first part concerned
    last_part INTEGER,  -- last part concerned
    change INTEGER  -- number of the row's newest change; empty if that is older than schema version 6
) STRICT;
"""

_SINCE_2 = """
CREATE TABLE clock_steps (  -- times when the wall clock was set
    id INTEGER PRIMARY KEY,  -- number of the step
    session INTEGER NOT NULL REFERENCES sessions (id),  -- its session
    after_part INTEGER NOT NULL,  -- the last part before it
    t_mono_ns INTEGER NOT NULL,  -- when
    t_from_utc_ns INTEGER NOT NULL,  -- wall time before
    t_to_utc_ns INTEGER NOT NULL  -- wall time after
) STRICT;
CREATE TABLE deletions (  -- parts that retention has deleted
    reason TEXT PRIMARY KEY,  -- `keep_days` or `max_mb`
    parts INTEGER NOT NULL,  -- how many so far
    last_part INTEGER NOT NULL,  -- the highest part number deleted
    t_utc_ns INTEGER NOT NULL  -- when last
) STRICT;
"""

_SINCE_4 = """
CREATE TABLE stops (  -- latched stops: run permit is off until somebody has looked
    id INTEGER PRIMARY KEY,  -- number of the stop
    session INTEGER NOT NULL REFERENCES sessions (id),  -- its session; a stop that nobody acknowledges goes on in the next one
    reason TEXT NOT NULL,  -- `reject_not_driven`, `reject_unconfirmed`, `too_many_rejects` or `too_many_parts`
    t_utc_ns INTEGER NOT NULL,  -- begin
    t_mono_ns INTEGER NOT NULL,  -- begin; after a restart as the wall clock has it
    acknowledged_utc_ns INTEGER,  -- when it was acknowledged; empty while it lasts
    duration_ns INTEGER,  -- begin to acknowledgement
    acknowledged_by TEXT,  -- name of the user who acknowledged it, or `SIGHUP` after a reload by a signal
    acknowledged_uid INTEGER,  -- number of this user; empty after a signal
    acknowledged_pid INTEGER,  -- process that asked for it; empty after a signal
    change INTEGER  -- number of the row's newest change; empty if that is older than schema version 6
) STRICT;
"""

_SINCE_5 = f"""
CREATE TABLE texts (  -- one row per label and text field, if the fields were verified
    part INTEGER NOT NULL REFERENCES parts (id),  -- the label
    field TEXT NOT NULL,  -- name of the field in the config
    verdict TEXT NOT NULL CHECK (verdict IN {_one_of((RIGHT, *TEXT_REASONS))}),  -- `right`, or why the label is rejected
    expected TEXT NOT NULL,  -- the texts that were allowed, as JSON; two during a change of day or job; none if nothing was known
    source TEXT NOT NULL,  -- where they come from, or why nothing was known
    found TEXT NOT NULL,  -- of a right field, the allowed text that it says; of a wrong one, what was read, as far as it could be
    score REAL,  -- of a text: how well it fits, above 0 if it is accepted; empty for a code, and if it was not looked at
    character INTEGER,  -- of a wrong text: place of the worst character in the expected text, counted from 0
    character_expected TEXT,  -- this character as expected; empty text if there is a character too many
    character_found TEXT,  -- this character as found; empty text if it is missing, `?` if it is damaged
    box_left INTEGER NOT NULL,  -- left edge of the worst character or else of the field, in px of the image
    box_top INTEGER NOT NULL,  -- its top edge
    box_width INTEGER NOT NULL,  -- its width
    box_height INTEGER NOT NULL,  -- its height
    PRIMARY KEY (part, field)
) STRICT, WITHOUT ROWID;
"""

_SESSIONS_2 = """
ALTER TABLE sessions ADD COLUMN started_mono_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN alive_mono_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN clock_steps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN first_part INTEGER;
ALTER TABLE sessions ADD COLUMN last_part INTEGER;
ALTER TABLE sessions ADD COLUMN triggers INTEGER;
ALTER TABLE sessions ADD COLUMN accounted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN images_lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN notes_lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN ended_cleanly INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET started_mono_ns = t_from, alive_mono_ns = t_to, first_part = first, last_part = last,
    clock_steps = drift > 1000000000
FROM (
    SELECT session, min(id) AS first, max(id) AS last, min(t_mono_ns) AS t_from, max(t_mono_ns) AS t_to,
        max(t_utc_ns - t_mono_ns) - min(t_utc_ns - t_mono_ns) AS drift
    FROM parts GROUP BY session
) AS seen WHERE seen.session = sessions.id;
ALTER TABLE outages RENAME TO outages_1;
"""

_OUTAGES_2 = """
INSERT INTO outages (id, session, kind, t_from_utc_ns, t_to_utc_ns, parts, detail, first_part, last_part)
SELECT outages_1.id, session, kind, t_from_utc_ns, t_to_utc_ns, parts, detail, first_part, last_part
FROM outages_1 JOIN sessions ON sessions.id = outages_1.session;
DROP TABLE outages_1;
"""

_PARTS_3 = """
ALTER TABLE parts ADD COLUMN anomaly_kind TEXT;
ALTER TABLE parts ADD COLUMN anomaly_left INTEGER;
ALTER TABLE parts ADD COLUMN anomaly_top INTEGER;
ALTER TABLE parts ADD COLUMN anomaly_width INTEGER;
ALTER TABLE parts ADD COLUMN anomaly_height INTEGER;
ALTER TABLE parts ADD COLUMN anomaly_excess REAL;
ALTER TABLE parts ADD COLUMN guard_us INTEGER;
"""

_PARTS_5 = """
ALTER TABLE parts ADD COLUMN text_us INTEGER;
ALTER TABLE parts ADD COLUMN reader INTEGER REFERENCES engines (id);
"""

_CHANGE_6 = """
ALTER TABLE parts ADD COLUMN change INTEGER;
ALTER TABLE sessions ADD COLUMN change INTEGER;
ALTER TABLE outages ADD COLUMN change INTEGER;
ALTER TABLE stops ADD COLUMN change INTEGER;
"""

# The rows stay as they are, so a large journal needs little more disk. Only SQLite's text of the table changes, since
# ALTER TABLE can't change a CHECK (https://sqlite.org/lang_altertable.html, section 7).
_QUOTED_PARTS = _PARTS.replace("'", "''")
_PARTS_7 = f"""
ALTER TABLE parts ADD COLUMN brightness REAL;
ALTER TABLE parts ADD COLUMN sharpness REAL;
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = '{_QUOTED_PARTS}' WHERE name = 'parts';
PRAGMA writable_schema = RESET;
"""  # noqa: S608

_FEED = """
CREATE TABLE feed (  -- what the numbers of changes depend on: one row
    journal TEXT NOT NULL,  -- random name of this journal; numbers of two journals can't be compared
    deleted INTEGER NOT NULL  -- the highest `change` of all deleted rows, so that no number is used again
) STRICT;
INSERT INTO feed VALUES (lower(hex(randomblob(16))), 0);
"""

CHANGING = ("parts", "stops", "outages", "sessions")
"""The tables whose rows have the number of their newest change. A row of `texts` comes with its part and stays as it is."""

# A counter in a table would cost each commit one more page of the log.
_HIGHEST = ", ".join(f"ifnull((SELECT max(change) FROM {table} WHERE change IS NOT NULL), 0)" for table in CHANGING)  # noqa: S608
NEWEST_CHANGE = f"max((SELECT deleted FROM feed), {_HIGHEST})"  # noqa: S608
"""SQL for the number of the newest change; 0 if there is none."""

# Triggers, so that no statement can forget the number.
_NUMBERED = "".join(
    f"""
CREATE INDEX {table}_by_change ON {table} (change) WHERE change IS NOT NULL;
CREATE TRIGGER {table}_inserted AFTER INSERT ON {table} BEGIN
    UPDATE {table} SET change = 1 + {NEWEST_CHANGE} WHERE id = new.id;
END;
CREATE TRIGGER {table}_amended AFTER UPDATE ON {table} WHEN new.change IS old.change BEGIN
    UPDATE {table} SET change = 1 + {NEWEST_CHANGE} WHERE id = new.id;
END;
CREATE TRIGGER {table}_deleted AFTER DELETE ON {table} WHEN old.change > (SELECT deleted FROM feed) BEGIN
    UPDATE feed SET deleted = old.change;
END;
"""  # noqa: S608
    for table in CHANGING
)

# A query uses one of these only if it has the same WHERE term. `rejects` and `kept_passes` have all that pages filter by, so that
# no filter reads the rows that it leaves out; with `+t_utc_ns` in its place, a long time range does not choose `parts_by_time`.
# A pass without an image is in none of them: it costs the line nothing.
_INDEXES = """
CREATE INDEX rejects ON parts (id, t_utc_ns, verdict, reason, class, certainty, engine) WHERE verdict <> 'pass';
CREATE INDEX kept_passes ON parts (id, t_utc_ns, verdict, class, certainty, engine) WHERE verdict = 'pass' AND image IS NOT NULL;
CREATE INDEX wrong_texts ON texts (field, part) WHERE verdict <> 'right';
"""

_SINCE_6 = _FEED + _NUMBERED + _INDEXES
_DROP_CHANGE = "ALTER TABLE {} DROP COLUMN change;"
"""For a table that an earlier migration makes: this column comes with version 6."""

SCHEMA = _TABLES + _OUTAGES + _SINCE_2 + _SINCE_4 + _SINCE_5 + _SINCE_6
_MIGRATIONS = {
    1: _SESSIONS_2 + _OUTAGES + _DROP_CHANGE.format("outages") + _OUTAGES_2 + _SINCE_2,
    2: _PARTS_3,
    3: _SINCE_4 + _DROP_CHANGE.format("stops"),
    4: _PARTS_5 + _SINCE_5,
    5: _CHANGE_6 + _SINCE_6,
    6: _PARTS_7,
}
"""Per version n: the statements that make it version n + 1. Rows are kept."""


def prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file, or bring those of an earlier version up to date.

    Raises JournalError if the file belongs to another program or to a later version of inspectd; sqlite3.Error.
    """
    if is_new(connection):
        _execute(connection, f"{SCHEMA} PRAGMA application_id = {APPLICATION_ID};", SCHEMA_VERSION)
    version = version_of(connection, path)
    while version < SCHEMA_VERSION:
        _execute(connection, _MIGRATIONS[version], version + 1)
        version += 1


def is_new(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables == 0)


def has_impossible_row(connection: sqlite3.Connection) -> bool:
    """Whether a row of `parts` has values that its table forbids.

    SQLite's own check does not look for one on a read-only connection.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    rules = [_VERDICT, _CLASS, _CERTAINTY, *((_REASON, _KIND, _ANOMALY) if version >= 3 else (_REASON_BEFORE_3,))]
    allowed = " AND ".join(f"({rule})" for rule in rules)
    return connection.execute(f"SELECT 1 FROM parts WHERE NOT ({allowed}) LIMIT 1").fetchone() is not None  # noqa: S608


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version. Raises JournalError if the file is not a journal, or if its version is not known."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalError(f"{path}: is a database of another program; set journal.path to another file")
    if not 1 <= version <= SCHEMA_VERSION:
        raise JournalError(
            f"{path}: has schema {version}, this version of inspectd knows 1 to {SCHEMA_VERSION}; "
            "update inspectd or move the file away"
        )
    return int(version)


def _execute(connection: sqlite3.Connection, script: str, version: int) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
