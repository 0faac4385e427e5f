"""The journal: one SQLite row per part, committed before the gate is told to let the part through.

It uses WAL mode. Every part of the line is a row of `parts`, or is counted in a row of `outages`. After a crash the next
session first records which interval was not seen. The wall clock only labels rows; its steps are rows of `clock_steps`.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, get_args

import structlog
from pydantic import Field

from inspectd.control.requester import Requester
from inspectd.errors import JournalError
from inspectd.gate.outcome import Outcome
from inspectd.ownership import Claim
from inspectd.part import FieldCheck, Missed, Part, Uncertain, Verdict, instead_of_pass, words
from inspectd.records.journal_file import (
    Place,
    SetAside,
    claim_file,
    is_damage,
    real_path,
    set_aside_before,
    set_damaged_aside,
)
from inspectd.records.journal_notes import Notes
from inspectd.records.journal_schema import RIGHT
from inspectd.records.journal_session import INSERT_STEP, begin_session, now, prepare, transaction
from inspectd.records.reading import UNREADABLE
from inspectd.section import ConfigPath, Section
from inspectd.wall_clock import ClockStep, WallClock

log = structlog.get_logger()

_INSERT_PART = """
INSERT INTO parts (id, session, engine, frame_number, t_utc_ns, t_mono_ns, verdict, reason, class, certainty, scores,
                   acquire_us, queue_us, preprocess_us, infer_us, verdict_us, guard_us, text_us, reader,
                   anomaly_kind, anomaly_left, anomaly_top, anomaly_width, anomaly_height, anomaly_excess, brightness, sharpness)
VALUES (?, ?, (SELECT id FROM engines WHERE name = ? AND hash = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
        (SELECT id FROM engines WHERE name = ? AND hash = ?), ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_TEXT = "INSERT INTO texts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_AMEND_OUTCOME = """
UPDATE parts SET gate_outcome = :outcome, gate_lateness_us = :lateness_us WHERE id = :part AND session = :session
"""
# A pass that was not let through. It has its own statement because an index is written again if its columns are set at all.
_AMEND_MISSED = """
UPDATE parts SET gate_outcome = :outcome, gate_lateness_us = :lateness_us,
    reason = CASE WHEN verdict = 'pass' THEN :reason ELSE reason END,
    verdict = CASE WHEN verdict = 'pass' THEN :pass_becomes ELSE verdict END
WHERE id = :part AND session = :session
"""

# The label could not be recorded, so only this row says that somebody must look for it.
_NOT_DRIVEN_WITHOUT_A_ROW = """
INSERT INTO outages (session, kind, t_from_utc_ns, t_to_utc_ns, t_from_mono_ns, parts, first_part, last_part, detail)
SELECT :session, 'not_driven', :utc_ns, :utc_ns, :mono_ns, 0, :part, :part, 'not recorded, and its reject was not driven'
WHERE NOT EXISTS (SELECT 1 FROM parts WHERE id = :part)
    AND NOT EXISTS (SELECT 1 FROM outages WHERE kind = 'not_driven' AND first_part = :part)
"""

_UPDATE_SESSION = """
UPDATE sessions SET alive_utc_ns = :utc_ns, alive_mono_ns = :mono_ns, last_part = :last, triggers = :triggers,
    accounted = :accounted, images_lost = :images_lost, notes_lost = :notes_lost,
    ended_utc_ns = CASE WHEN :ends THEN :utc_ns END, ended_cleanly = :ends
WHERE id = :session
"""

Outage = Literal["camera", "output"]
OUTAGES: tuple[Outage, ...] = get_args(Outage)

_ALIVE_EVERY_S = 1.0
_LOOK_EVERY_S = 0.25
"""How often it is checked that the file was not deleted, moved or replaced."""


class JournalConfig(Section):
    """Where the verdict on each label is recorded, how safely, and for how long it is kept."""

    path: ConfigPath
    """The SQLite file of the journal, such as /var/lib/inspectd/journal.sqlite. It must be on a local disk."""
    synchronous: Literal["normal", "full"] = "normal"
    """When a record counts as saved. The label passes only after that. `normal`: no record is lost however the process dies, but
    the last ones may be lost when the power fails. Labels may then have passed without a row; the report names that
    interval. `full`: no record is lost when the power fails, but each label waits for the disk (1 to 20 ms)."""
    busy_timeout_ms: int = Field(default=20, ge=0, le=1000)
    """A verdict waits at most this many milliseconds for another process that has locked the journal. After that the label
    is rejected as `record_error`. Larger: fewer such rejects, but the labels behind it wait too."""
    keep_days: int = Field(default=365, ge=1, le=36_500)
    """Parts that are older than this many days are deleted. Only the time during which the line ran counts, so a wrong clock
    can't delete a record."""
    max_mb: int = Field(default=2000, ge=10, le=1_000_000)
    """When the journal is larger than this many megabytes, the oldest parts are deleted. One million parts take about 270 MB, and
    120 MB more per text field."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where a part's time went, in us; None for a stage that did not happen. `verdict_us` is from trigger to verdict."""

    acquire_us: int
    queue_us: int
    verdict_us: int
    preprocess_us: int | None = None
    infer_us: int | None = None
    guard_us: int | None = None
    text_us: int | None = None


class Journal:
    """The writing side. Only one thread at a time may call `append`, `flush`, `note_alive` and `close`. Any thread may call
    the methods that only note something: `amend_*`, `outage_*`, `stop*` and `image_lost`."""

    def __init__(
        self, connection: sqlite3.Connection, place: Place, session: int, next_part_id: int, claim: Claim | None = None
    ) -> None:
        self.next_part_id = next_part_id
        """Part numbers go on where the last session ended."""
        self.failure: str | None = None
        """A sentence why nothing can be recorded any more; None while all is well. The line must end if it is set."""
        self.count_triggers: Callable[[], int] | None = None
        """How many labels the line has counted in this session. The report compares it with the journal's count."""
        self.images_lost = 0
        """Images of this session that the archive dropped or could not store."""
        self._connection = connection
        self._place = place
        self._session = session
        self._claim = claim
        self._clock = WallClock()
        self._engine = ("", "")
        self._reader = ("", "")
        self._engine_is_known = False
        self._unrecorded: tuple[Part, Part, int] | None = None
        """The first and the last part that could not be recorded, and how many."""
        self._last_part = next_part_id - 1
        self._accounted = 0
        self._lock = threading.Lock()
        self._notes = Notes(session)
        self._is_closing = False
        self._alive_s = self._looked_s = time.monotonic()

    @classmethod
    def open(
        cls, config: JournalConfig, *, exclusive: bool = False, first_part_id: Callable[[], int] = lambda: 1
    ) -> "Journal":
        """Open or create the journal and begin a session, which records what interval was not seen since the last one.

        A damaged journal is set aside, and a new one begins. Its part numbers follow those of the damaged one if they can be
        read; otherwise it begins with `first_part_id()`. `exclusive`: no other process may write it until `close`.

        Raises JournalError if the file is not a journal, has a later version or can't be written; InUseError if another
        process writes it.
        """
        path = real_path(config.path)
        claim = claim_file(path) if exclusive else None
        try:
            aside = set_damaged_aside(path)
            if aside is not None and claim is not None:
                claim.release()
                claim = claim_file(path)
            return cls._begin(config, aside or set_aside_before(path), claim, first_part_id)
        except BaseException:
            if claim is not None:
                claim.release()
            raise

    @classmethod
    def _begin(
        cls, config: JournalConfig, aside: SetAside | None, claim: Claim | None, first_part_id: Callable[[], int]
    ) -> "Journal":
        try:
            connection = sqlite3.connect(
                config.path, isolation_level=None, check_same_thread=False, timeout=config.busy_timeout_ms / 1000
            )
            try:
                prepare(connection, config.path, config.synchronous)
                with transaction(connection):
                    session, next_part_id = begin_session(connection, aside, first_part_id)
                return cls(connection, Place(config.path), session, next_part_id, claim)
            except BaseException:
                connection.close()
                raise
        except (OSError, *UNREADABLE) as error:
            raise JournalError(
                f"{config.path}: is not a usable journal ({error}); move it away to begin a new one"
            ) from error

    def use_engine(self, name: str, sha256: str, reader: tuple[str, str] | None = None) -> None:
        """All parts from now on are judged by this engine. `reader`: name and hash of what reads their texts."""
        self._engine = (name, sha256)
        self._reader = reader or ("", "")
        self._engine_is_known = False

    def append(
        self,
        part: Part,
        verdict: Verdict,
        stages: Stages,
        texts: Sequence[FieldCheck] = (),
        quality: tuple[float | None, float | None] | None = None,
    ) -> None:
        """Commit one part's verdict, and what its text fields say. `quality`: brightness and sharpness of its image.

        Raises JournalError if it could not be recorded, for any reason; if the file is locked, within `busy_timeout_ms`.
        """
        with self._writing():
            if not self._engine_is_known:
                known = [each for each in (self._engine, self._reader) if each != ("", "")]
                self._connection.executemany("INSERT OR IGNORE INTO engines (name, hash) VALUES (?, ?)", known)
            self._connection.execute(_INSERT_PART, self._row(part, verdict, stages, quality or (None, None)))
            self._connection.executemany(_INSERT_TEXT, (_text_row(part, text) for text in texts))
        self._engine_is_known = True
        self._last_part = part.id
        self._accounted += 1

    def unrecorded(self, part: Part) -> None:
        """`append` failed for this part: it counts in one `record_error` outage until a write works again."""
        first, _, count = self._unrecorded or (part, part, 0)
        self._unrecorded = (first, part, count + 1)
        self._accounted += 1

    def flush(self) -> None:
        """Write what was noted since the last part. Raises JournalError."""
        if self._notes or self._unrecorded or self._alive_is_due():
            with self._writing():
                pass

    def note_alive(self) -> None:
        """Record, at most once a second, that the line is alive: an unseen interval would begin there. Raises JournalError.

        A line that never pauses need not call it, since `append` does the same.
        """
        if self._alive_is_due():
            self.flush()

    def check(self) -> None:
        """Raises JournalError if nothing can be recorded any more. Any thread may call it; it never waits."""
        if self.failure is not None:
            raise JournalError(self.failure)

    def amend_recorded(self, part_id: int, record_us: int) -> None:
        """How long the part's own commit took."""
        sql = "UPDATE parts SET record_us = :record_us WHERE id = :part AND session = :session"
        self._notes.add(part_id, sql, record_us=record_us)

    def amend_outcome(self, part_id: int, outcome: Outcome, lateness_us: int) -> None:
        """What the gate did. A recorded pass that it did not let through becomes `missed`."""
        gate: dict[str, object] = {"outcome": outcome.name.lower(), "lateness_us": lateness_us}
        missed = instead_of_pass(was_let_through=outcome.lets_through)
        if missed is None:
            self._notes.add(part_id, _AMEND_OUTCOME, **gate)
        else:
            self._notes.add(part_id, _AMEND_MISSED, **gate, pass_becomes=missed.word, reason=missed.reason.value)
        if outcome is Outcome.NOT_DRIVEN:
            self._notes.add(part_id, _NOT_DRIVEN_WITHOUT_A_ROW, **now())

    def amend_image(self, part_id: int, path: str) -> None:
        """Where the archive has stored the part's image."""
        self._notes.add(part_id, "UPDATE parts SET image = :path WHERE id = :part AND session = :session", path=path)

    def image_lost(self) -> None:
        """The archive dropped an image, or could not store it."""
        with self._lock:
            self.images_lost += 1

    def outage_begin(self, kind: Outage, detail: str) -> None:
        """From now on parts may be there that the line does not see (camera) or can't reject (output)."""
        self._notes.add(
            0,
            "INSERT INTO outages (session, kind, t_from_utc_ns, t_from_mono_ns, parts, detail) "
            "VALUES (:session, :kind, :utc_ns, :mono_ns, 0, :detail)",
            kind=kind,
            detail=detail,
            **now(),
        )

    def outage_end(self, kind: Outage) -> None:
        """The outage of this kind is over. Nothing happens if there was no outage."""
        self._notes.add(
            0,
            "UPDATE outages SET t_to_utc_ns = :utc_ns, duration_ns = :mono_ns - t_from_mono_ns "
            "WHERE session = :session AND kind = :kind AND t_to_utc_ns IS NULL",
            kind=kind,
            **now(),
        )

    def open_stops(self) -> list[str]:
        """Reasons of the stops that go on from the session before, because nobody has acknowledged them."""
        sql = "SELECT reason FROM stops WHERE session = ? AND acknowledged_utc_ns IS NULL"
        return [reason for (reason,) in self._connection.execute(sql, (self._session,))]

    def stop_begin(self, reason: str) -> None:
        """Run permit is off until somebody acknowledges this stop. `reason`: the word of a `Stop`."""
        self._notes.add(
            0,
            "INSERT INTO stops (session, reason, t_utc_ns, t_mono_ns) VALUES (:session, :reason, :utc_ns, :mono_ns)",
            reason=reason,
            **now(),
        )

    def stops_acknowledged(self, by: Requester, reasons: Sequence[str]) -> None:
        """Somebody has looked at the stops with these reasons. Nothing happens to others."""
        self._notes.add(
            0,
            "UPDATE stops SET acknowledged_utc_ns = :utc_ns, duration_ns = :mono_ns - t_mono_ns, acknowledged_by = :user, "
            "acknowledged_uid = :uid, acknowledged_pid = :pid WHERE session = :session AND acknowledged_utc_ns IS NULL "
            "AND reason IN (SELECT value FROM json_each(:reasons))",
            reasons=json.dumps(reasons),
            user=by.user,
            uid=by.uid,
            pid=by.pid,
            **now(),
        )

    def close(self) -> None:
        """Everything was judged and recorded: end the session cleanly. Otherwise the next session records an unseen interval.

        Raises JournalError if the end could not be recorded; the file is closed in any case.
        """
        for kind in OUTAGES:
            self.outage_end(kind)  # if it goes on, the next session records it again
        self._is_closing = True
        try:
            with self._writing():
                pass
        finally:
            with self._place.log_kept():
                with suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.close()
            if self._claim is not None:
                self._claim.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, which also writes the notes for parts that were recorded earlier. Any error is a JournalError."""
        self._look()
        if (step := self._clock.step()) is not None:
            self._note_step(step)
        writes_session = self._is_closing or self._alive_is_due()
        noted = self._notes.up_to(None if self._is_closing else self._last_part)
        try:
            with transaction(self._connection):
                if self._unrecorded is not None:
                    self._insert_unrecorded(*self._unrecorded)
                refused = self._notes.write(self._connection, noted)
                if writes_session:
                    self._update_session(refused)
                yield
        except Exception as error:
            if is_damage(error):
                self.failure = f"the journal is damaged: {error}"
            raise JournalError(f"journal: {error}") from error
        if writes_session:
            self._alive_s = time.monotonic()
        self._unrecorded = None
        self._notes.written(noted, refused)

    def _look(self) -> None:
        """Raises JournalError, now and at every later call, if the file is not the one that was opened."""
        self.check()
        if self._is_closing or time.monotonic() - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            self.failure = self._place.problem()
            self.check()

    def _note_step(self, step: ClockStep) -> None:
        log.warning("the clock was set: times of records may be wrong", by_s=round(step.seconds, 3))
        self._notes.add(
            0,
            INSERT_STEP,
            after=self._last_part,
            mono_ns=step.t_mono_ns,
            from_ns=step.t_from_utc_ns,
            to_ns=step.t_to_utc_ns,
        )
        self._notes.add(0, "UPDATE sessions SET clock_steps = clock_steps + 1 WHERE id = :session")

    def _alive_is_due(self) -> bool:
        return time.monotonic() - self._alive_s >= _ALIVE_EVERY_S

    def _update_session(self, refused: int) -> None:
        values = {
            "session": self._session,
            "last": self._last_part,
            "triggers": self.count_triggers() if self.count_triggers is not None else None,
            "accounted": self._accounted,
            "images_lost": self.images_lost,
            "notes_lost": self._notes.lost + refused,
            "ends": self._is_closing,
            **now(),
        }
        if self._connection.execute(_UPDATE_SESSION, values).rowcount != 1:
            self.failure = "the journal's file was replaced while the line runs: this session is not in it"
            raise JournalError(self.failure)

    def _insert_unrecorded(self, first: Part, last: Part, count: int) -> None:
        self._connection.execute(
            "INSERT INTO outages (session, kind, t_from_utc_ns, t_to_utc_ns, t_from_mono_ns, duration_ns, parts, "
            "first_part, last_part, detail) VALUES (?, 'record_error', ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._session,
                first.t_trigger_utc_ns,
                last.t_trigger_utc_ns,
                first.t_trigger_ns,
                last.t_trigger_ns - first.t_trigger_ns,
                count,
                first.id,
                last.id,
                "rejected, but could not be recorded one by one",
            ),
        )

    def _row(
        self, part: Part, verdict: Verdict, stages: Stages, quality: tuple[float | None, float | None]
    ) -> tuple[object, ...]:
        said = words(verdict)
        scores = None if isinstance(verdict, Missed) else verdict.scores
        anomaly = verdict.anomaly if isinstance(verdict, Uncertain) else None
        return (
            part.id,
            self._session,
            *self._engine,
            part.frame_number,
            part.t_trigger_utc_ns,
            part.t_trigger_ns,
            said.verdict,
            said.reason,
            said.predicted,
            scores.certainty if scores else None,
            json.dumps([round(value, 6) for value in scores.values]) if scores else None,
            stages.acquire_us,
            stages.queue_us,
            stages.preprocess_us,
            stages.infer_us,
            stages.verdict_us,
            stages.guard_us,
            stages.text_us,
            *self._reader,
            *((anomaly.kind, *anomaly.box, anomaly.excess) if anomaly else (None,) * 6),
            *quality,
        )


def _text_row(part: Part, text: FieldCheck) -> tuple[object, ...]:
    return (
        part.id,
        text.field,
        text.reason or RIGHT,
        json.dumps(text.expected, ensure_ascii=False),
        text.source,
        text.found,
        text.score,
        *((text.worst.index, text.worst.expected, text.worst.found) if text.worst else (None,) * 3),
        *text.box,
    )
