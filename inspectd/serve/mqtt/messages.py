"""The messages. Their form is fixed: with another `version`, keys may be gone or mean something else; new keys may come at any time.

(journal, number) says which change a message is about. A message may come twice, and a row that changes comes again with a higher
number: a receiver keeps the newest one of each part.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from inspectd.records.feed import Change, Kind
from inspectd.serve.following import Gap, is_alive
from inspectd.serve.line_now import LineNow

VERSION: Literal[1] = 1
_Row = Mapping[str, Any]
_FORM = ConfigDict(frozen=True, use_attribute_docstrings=True)  # its schema allows keys that a later version adds


class _Message(BaseModel):
    model_config = _FORM

    version: Literal[1] = VERSION
    """Of this form."""
    line: str
    """Name of the line."""


class _ChangeMessage(_Message):
    journal: str
    """Random name of the journal. Numbers of two journals can't be compared."""
    number: int
    """Number of the change, ascending in one journal, with gaps."""


class Place(BaseModel):
    """A place in the image."""

    model_config = _FORM

    left: int
    """Left edge, in px."""
    top: int
    """Top edge, in px."""
    width: int
    """Width, in px."""
    height: int
    """Height, in px."""


class AnomalyFound(Place):
    """What is unlike good labels."""

    kind: str
    """A place of the `print`, of the `part` around it, or the whole print: `turned`, `shifted` or `faded`."""
    excess: float
    """The score as a multiple of the engine's limit, above 1."""


class TextFound(BaseModel):
    """One text or code of the label."""

    model_config = _FORM

    field: str
    """Its name in the line's config."""
    verdict: str
    """`right`, or why the label is rejected."""
    expected: list[str]
    """The texts that were allowed."""
    found: str
    """What was read, as far as it could be."""


class PartMessage(_ChangeMessage):
    """Topic `parts`: one label. It comes first with its verdict, and again when the gate has acted and when its image is stored."""

    kind: Literal["part"] = "part"
    part: int
    """Number of the part. It goes on over restarts of the line."""
    session: int
    """The run of the line."""
    time: str
    """Time of the trigger, UTC, ISO 8601. The wall clock may be wrong."""
    verdict: str
    """`pass`, `fault`, `uncertain` or `missed`. Only `pass` with `gate: passed` went on as a good label."""
    reason: str | None
    """Why it was missed or is uncertain, or what is wrong with a text; else null."""
    predicted: str | None
    """The class with the highest score; null if the part was not inspected."""
    certainty: float | None
    """The highest score."""
    scores: list[float] | None
    """Scores of all classes, in the order of `classes` in the engine's `engine.yaml`."""
    gate: str | None
    """What the gate did: `passed`, `rejected`, `rejected_late`, `rejected_stopped`, `rejected_with_other`, `not_driven`; null: nothing yet."""
    gate_lateness_ms: float | None
    """Begin of the pulse minus due time."""
    verdict_ms: float
    """Trigger to verdict."""
    anomaly: AnomalyFound | None
    """What the guard found, if it stopped the part."""
    texts: list[TextFound]
    """The texts and codes, if the line verifies them."""
    image: str | None
    """File name of the archived image at the line's computer."""
    engine: str
    """Name of the engine."""
    engine_hash: str
    """SHA-256 of the engine's manifest."""


class StopMessage(_ChangeMessage):
    """Topic `stops`: a stop of the belt that somebody must acknowledge. It comes again when somebody has."""

    kind: Literal["stop"] = "stop"
    stop: int
    """Number of the stop."""
    session: int
    """The run of the line."""
    reason: str
    """`reject_not_driven`, `reject_unconfirmed`, `too_many_rejects` or `too_many_parts`."""
    time: str
    """When it began, UTC, ISO 8601."""
    acknowledged_time: str | None
    """When somebody acknowledged it."""
    acknowledged_by: str | None
    """The user who did."""
    duration_s: float | None
    """How long it lasted."""


class OutageMessage(_ChangeMessage):
    """Topic `outages`: an interval without full inspection. It comes again when it has ended or grown."""

    kind: Literal["outage"] = "outage"
    outage: int
    """Number of the outage."""
    session: int
    """The run of the line that noted it."""
    cause: str
    """`camera`, `output`, `record_error`, `not_driven` or `unseen`."""
    time: str
    """Begin, UTC, ISO 8601."""
    end_time: str | None
    """End; null while it lasts."""
    parts: int
    """Rejected parts without a record of their own."""
    first_part: int | None
    """First part concerned."""
    last_part: int | None
    """Last part concerned."""
    detail: str
    """The cause, in a sentence."""


class SessionMessage(_ChangeMessage):
    """Topic `sessions`: one run of the line. It comes when the line starts and ends, and about once a minute."""

    kind: Literal["session"] = "session"
    session: int
    """Number of the run."""
    time: str
    """When it began, UTC, ISO 8601."""
    alive_time: str
    """When it last gave a sign of life."""
    end_time: str | None
    """When it ended; null while it runs."""
    ended_cleanly: bool
    """Whether every label had its verdict at the end."""
    triggers: int | None
    """Labels by the line's own count."""
    accounted: int
    """Parts that the journal has recorded or counted. Another number than `triggers` at the end: something was lost."""
    images_lost: int
    """Images that the archive has dropped or could not store."""


class GapMessage(_Message):
    """Topic `gaps`: changes that this bridge can't send, because they are gone."""

    kind: Literal["gap"] = "gap"
    reason: str
    """`deleted`: retention has deleted rows. `replaced`: another journal is there now. `older_copy`: an older copy of the journal was
    put back. `unreadable`: a row can't be read."""
    journal: str
    """The journal that had these changes."""
    after: int
    """The last number before the gap."""
    up_to: int | None
    """The last number in it; null if it is not known."""
    at_most: int | None
    """How many changes are lost at most; null if it is not known."""


class StateMessage(_Message):
    """Topic `state`, retained: the line now. The broker itself sends it with `bridge: offline` when it loses the bridge."""

    kind: Literal["state"] = "state"
    bridge: Literal["online", "offline"]
    """`offline`: nothing below is known."""
    time: str | None = None
    """When this became so, UTC, ISO 8601."""
    journal: str | None = None
    """Random name of the journal; null if it can't be read."""
    line_up: bool | None = None
    """Whether the line has given a sign of life in the last 5 s."""
    run_permit: bool | None = None
    """Whether the belt may run."""
    stops: list[str] | None = None
    """The reasons of the stops that somebody must acknowledge."""
    engine: str | None = None
    """Name of the engine in use."""
    engine_version: str | None = None
    """Its version."""
    problem: str | None = None
    """Why something is not known, in a sentence."""


Message = PartMessage | StopMessage | OutageMessage | SessionMessage | GapMessage | StateMessage
TOPICS: dict[Kind, str] = {"part": "parts", "stop": "stops", "outage": "outages", "session": "sessions"}


def message_schema() -> str:
    """JSON schema of all messages, for receivers."""
    return json.dumps(TypeAdapter(Message).json_schema(), indent=2)


def of_change(line: str, journal: str, change: Change) -> Message:
    """Raises ValueError, LookupError or TypeError if the row is damaged."""
    return _MAKE[change.kind](change.row, {"line": line, "journal": journal, "number": change.number})


def of_gap(line: str, gap: Gap) -> GapMessage:
    return GapMessage(
        line=line,
        reason=gap.reason,
        journal=gap.after.journal,
        after=gap.after.number,
        up_to=gap.up_to,
        at_most=gap.numbers,
    )


def of_state(line: str, journal: str | None, session: _Row | None, now: LineNow, problem: str | None) -> StateMessage:
    """Without its time. `journal`: None if it can't be read, which `problem` explains."""
    status = (now.status if now.is_fresh else None) or {}
    return StateMessage(
        line=line,
        bridge="online",
        journal=journal,
        line_up=None if journal is None else session is not None and is_alive(session),
        run_permit=status.get("run_permit"),
        stops=status.get("stops"),
        engine=status.get("engine"),
        engine_version=status.get("engine_version"),
        problem=problem or now.problem,
    )


def utc(t_ns: int | None) -> str | None:
    """ISO 8601 with milliseconds."""
    if t_ns is None:
        return None
    seconds, rest = divmod(t_ns, 10**9)
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03}Z"


def _part(row: _Row, head: dict[str, Any]) -> PartMessage:
    anomaly = None
    if row["anomaly_kind"] is not None:
        place = {key: row[f"anomaly_{key}"] for key in ("left", "top", "width", "height", "excess", "kind")}
        anomaly = AnomalyFound(**place)
    return PartMessage(
        **head,
        part=row["id"],
        session=row["session"],
        time=_known(utc(row["t_utc_ns"])),
        verdict=row["verdict"],
        reason=row["reason"],
        predicted=row["class"],
        certainty=row["certainty"],
        scores=None if row["scores"] is None else json.loads(row["scores"]),
        gate=row["gate_outcome"],
        gate_lateness_ms=_ms(row["gate_lateness_us"]),
        verdict_ms=row["verdict_us"] / 1000,
        anomaly=anomaly,
        texts=[
            TextFound(
                field=text["field"],
                verdict=text["verdict"],
                expected=json.loads(text["expected"]),
                found=text["found"],
            )
            for text in row["texts"]
        ],
        image=row["image"],
        engine=row["engine_name"] or "",
        engine_hash=row["engine_hash"] or "",
    )


def _stop(row: _Row, head: dict[str, Any]) -> StopMessage:
    return StopMessage(
        **head,
        stop=row["id"],
        session=row["session"],
        reason=row["reason"],
        time=_known(utc(row["t_utc_ns"])),
        acknowledged_time=utc(row["acknowledged_utc_ns"]),
        acknowledged_by=row["acknowledged_by"],
        duration_s=None if row["duration_ns"] is None else row["duration_ns"] / 1e9,
    )


def _outage(row: _Row, head: dict[str, Any]) -> OutageMessage:
    return OutageMessage(
        **head,
        outage=row["id"],
        session=row["session"],
        cause=row["kind"],
        time=_known(utc(row["t_from_utc_ns"])),
        end_time=utc(row["t_to_utc_ns"]),
        parts=row["parts"],
        first_part=row["first_part"],
        last_part=row["last_part"],
        detail=row["detail"],
    )


def _session(row: _Row, head: dict[str, Any]) -> SessionMessage:
    return SessionMessage(
        **head,
        session=row["id"],
        time=_known(utc(row["started_utc_ns"])),
        alive_time=_known(utc(row["alive_utc_ns"])),
        end_time=utc(row["ended_utc_ns"]),
        ended_cleanly=bool(row["ended_cleanly"]),
        triggers=row["triggers"],
        accounted=row["accounted"],
        images_lost=row["images_lost"],
    )


_MAKE: dict[Kind, Callable[[_Row, dict[str, Any]], Message]] = {
    "part": _part,
    "stop": _stop,
    "outage": _outage,
    "session": _session,
}


def _known(time: str | None) -> str:
    if time is None:
        raise ValueError("a time is missing")
    return time


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000
