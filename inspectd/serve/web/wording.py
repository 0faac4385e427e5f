"""What an operator reads instead of the journal's words. One table for all pages."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inspectd.control.stops import STOPS
from inspectd.serve.web.journal_values import texts_in

Kind = Literal["pass", "fault", "uncertain", "missed"]

SHAPES: Mapping[str, str] = {"pass": "✓", "fault": "✕", "uncertain": "?", "missed": "⊘"}
"""Each verdict has a shape beside its colour, for people who can't distinguish the colours."""

CAUSES: Mapping[str, str] = {
    # what the guard found
    "print": "Print damaged",
    "part": "Damage beside print",
    "turned": "Print is turned",
    "shifted": "Print is shifted",
    "faded": "Print is pale",
    # texts and codes
    "text_wrong": "Text wrong",
    "text_unreadable": "Text can't be read",
    "text_missing": "Text missing",
    "text_not_expected": "No text announced",
    "code_unreadable": "Code can't be read",
    "code_wrong": "Code wrong",
    # why there was no inspection
    "lost_frame": "No image came",
    "bad_frame": "Image is incomplete",
    "overrun": "Too many labels waited",
    "late": "Verdict too late",
    "stale_frame": "Image is old",
    "engine_error": "Engine failed",
    "record_error": "Not recorded",
}
GATE: Mapping[str | None, str] = {
    "passed": "let through",
    "rejected": "rejected on time",
    "rejected_late": "rejected: the verdict came too late",
    "rejected_stopped": "rejected: run permit was off",
    "rejected_with_other": "rejected together with the label before it",
    "not_driven": "not driven: look for this label",
    None: "the gate has not answered yet",
}
STOP_NAMES: Mapping[str, str] = {
    "too_many_rejects": "too many rejects",
    "reject_not_driven": "reject not driven",
    "reject_unconfirmed": "reject not confirmed",
    "too_many_parts": "too many labels at once",
}
GATE_STATES: Mapping[str, str] = {
    "line_not_ok": "The camera gives no images, or inspection stands still. Run permit comes back by itself.",
    "line_stalled": "Inspection does not answer. Run permit comes back by itself.",
    "line_gone": "Inspection has ended. The service starts it again.",
    "output_failed": "The reject output can't be driven. Run permit comes back when the device answers.",
    "starting": "The line starts. Run permit comes by itself.",
    "stopped": "Somebody must look, then acknowledge.",
    "too_many_parts": "More labels came than the gate can handle. Run permit comes back when they have gone by.",
}
OUTAGES: Mapping[str, str] = {
    "camera": "camera gave no images",
    "output": "reject output failed",
    "record_error": "labels not recorded",
    "not_driven": "label to look for",
    "unseen": "line did not run",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A text or code that is wrong. `found` and `expected` are runs of characters: (characters, whether they are the wrong ones)."""

    name: str
    found: tuple[tuple[str, bool], ...]
    expected: tuple[tuple[str, bool], ...]
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Said:
    """One part in words."""

    part: int
    kind: Kind
    shape: str
    cause: str
    """What is wrong with the label; "Passed" if nothing is."""
    fields: tuple[Field, ...]
    certainty: float | None
    """Of the class; None if something else than the class decided."""
    excess: float | None
    """What the guard found, as a multiple of its limit."""
    gate: str
    must_be_found: bool
    """Nobody knows whether the label was rejected."""
    time: str
    box: tuple[int, int, int, int] | None
    """The place of the fault: left, top, width and height in px of the image."""
    image: str | None
    """Where the page gets the image; None if there is none yet, or never."""
    engine: str


def said(row: Mapping[str, Any], pass_class: str | None = None) -> Said:
    """`row`: a part of the journal, with its `texts`. `pass_class`: to name what an uncertain label looks like."""
    fields = tuple(field_of(text) for text in row["texts"] if text["verdict"] != "right")
    box = fields[0].box if fields else None
    if row["anomaly_kind"] is not None:
        box = (row["anomaly_left"], row["anomaly_top"], row["anomaly_width"], row["anomaly_height"])
    kind: Kind = row["verdict"]
    return Said(
        part=row["id"],
        kind=kind,
        shape=SHAPES.get(kind, "?"),
        cause=cause_of(row, pass_class),
        fields=fields,
        certainty=row["certainty"] if row["reason"] is None else None,
        excess=row["anomaly_excess"],
        gate=GATE.get(row["gate_outcome"], str(row["gate_outcome"])),
        must_be_found=row["gate_outcome"] == "not_driven",
        time=clock(row["t_utc_ns"]),
        box=box,
        image=image_url(row) if row["image"] else None,
        engine=str(row.get("engine_name") or ""),
    )


def cause_of(row: Mapping[str, Any], pass_class: str | None = None) -> str:
    """Why a part was rejected; "Passed" if it was not."""
    if row["verdict"] == "pass":
        return "Passed"
    if row["anomaly_kind"] is not None:
        return CAUSES.get(row["anomaly_kind"], str(row["anomaly_kind"]))
    if row["reason"] is not None:
        return CAUSES.get(row["reason"], str(row["reason"]))
    if row["verdict"] == "uncertain" and row["class"] in (None, pass_class):
        return "Not certain"
    named = class_words(str(row["class"]))
    return named if row["verdict"] == "fault" else f"Not certain: {named[:1].lower()}{named[1:]}?"


def cause_words(verdict: str, cause: str) -> str:
    """As `cause_of`, from a count by verdict and cause. A fault class has a name of its own."""
    if cause in CAUSES:
        return CAUSES[cause]
    return class_words(cause) if cause else "Not certain"


def class_words(name: str) -> str:
    """A class as people say it: "fail_label_half_printed" is "Label half printed"."""
    words = name.removeprefix("fail_").replace("_", " ").strip() or name
    return words[:1].upper() + words[1:]


def image_url(row: Mapping[str, Any]) -> str:
    """The time makes the address another one if a new journal counts from 1 again, so a browser shows no old image."""
    return f"/images/{row['id']}?t={row['t_utc_ns']}"


def number(value: float, digits: int = 0) -> str:
    """With a narrow space between thousands: 18 240."""
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def percent(share: float, digits: int = 1) -> str:
    """ "98.7 %". It says 100 % and 0 % only if they are exact."""
    text = f"{100 * share:.{digits}f}"
    step = 10.0**-digits
    if share < 1 and float(text) == 100:
        text = f"{100 - step:.{digits}f}"
    elif share > 0 and float(text) == 0:
        text = f"{step:.{digits}f}"
    return f"{text}\u202f%"


def clock(utc_ns: int) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(utc_ns / 1e9))


def moment(utc_ns: int) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ns / 1e9))


def span(seconds: float) -> str:
    """A duration in the largest two units: "2 min 5 s"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} days {whole % 86_400 // 3600} h"


def stop_words(reason: str, gate: Mapping[str, Any]) -> str:
    """Why the belt stands, and what to do. `gate`: the section of the config."""
    what = STOPS.get(reason, f"The gate says: {reason.replace('_', ' ')}.")
    if reason != "too_many_rejects":
        return what
    in_a_row, share = gate.get("stop_after_rejects"), gate.get("stop_at_reject_share")
    if in_a_row and not share:
        return f"{in_a_row} rejects in a row. {what}"
    if share and not in_a_row:
        return f"More than {share['percent']:g} % of the last {share['of_last']} labels were rejected. {what}"
    return f"Too many rejects. {what}"


def field_of(text: Mapping[str, Any]) -> Field:
    index = text["character"]
    expected: list[tuple[str, bool]] = []
    for allowed in texts_in(text["expected"]) or ():
        expected += [(" or ", False)] if expected else []
        expected += _marked(allowed, index, text["character_expected"])
    return Field(
        name=text["field"],
        found=_marked(text["found"], index, text["character_found"]),
        expected=tuple(expected),
        box=(text["box_left"], text["box_top"], text["box_width"], text["box_height"]),
    )


def _marked(text: str, index: int | None, wrong: str | None) -> tuple[tuple[str, bool], ...]:
    """The text in runs; the wrong characters are marked if they are where the journal says."""
    if index is None or not wrong or text[index : index + len(wrong)] != wrong:
        return ((text, False),) if text else ()
    runs = ((text[:index], False), (wrong, True), (text[index + len(wrong) :], False))
    return tuple(run for run in runs if run[0])
