"""Everything about one part, as Review and the page of a part show it."""

import dataclasses
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from inspectd.errors import JournalError
from inspectd.records.reviews import UNKNOWN, Decision
from inspectd.serve.engine_facts import EngineFacts
from inspectd.serve.web.journal_values import numbers_in, texts_in
from inspectd.serve.web.wording import CAUSES, Field, class_words, field_of, image_url, moment, number, said

_PARTS: Final = """
SELECT parts.*, engines.name AS engine_name, engines.hash AS engine_hash, readers.name AS reader_name,
    readers.hash AS reader_hash
FROM parts LEFT JOIN engines ON engines.id = parts.engine LEFT JOIN engines AS readers ON readers.id = parts.reader
WHERE parts.id IN (SELECT value FROM json_each(?))
"""
_TEXTS: Final = "SELECT * FROM texts WHERE part IN (SELECT value FROM json_each(?)) ORDER BY part, field"
_TYPES: Final = "SELECT name, type, \"notnull\" FROM pragma_table_info('{}')"
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {"INTEGER": (int,), "REAL": (float, int), "TEXT": (str,)}
_REALS: Final = {
    "certainty": "the certainty",
    "anomaly_excess": "how far the guard's limit is exceeded",
    "brightness": "the brightness",
    "sharpness": "the sharpness",
}
_ANOMALY_BOX: Final = ("anomaly_left", "anomaly_top", "anomaly_width", "anomaly_height")


def read_parts(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of these parts, in this order, each with the names of engine and reader and its `texts`.

    A part that is not in the journal is left out. Raises sqlite3.Error, and JournalError if a row has a value that no line writes.
    """
    wanted = (json.dumps(list(numbers)),)
    parts = {row["id"]: {**row, "texts": []} for row in _rows(connection, "parts", _PARTS, wanted)}
    for text in _rows(connection, "texts", _TEXTS, wanted):
        if text["part"] in parts:
            parts[text["part"]]["texts"].append(text)
    return [parts[each] for each in numbers if each in parts]


def view(part: Mapping[str, Any], engine: EngineFacts | None, *, has_photo: bool) -> dict[str, Any]:
    """A part of `read_parts` in words, as values that JSON has. `engine`: the one in use now, if it can be read.

    Times are text: a script would round these numbers.
    """
    pass_class = None if engine is None else engine.pass_class
    in_words = said(part, pass_class)
    judged_now = engine is not None and part["engine_hash"] == engine.hash
    return {
        **{key: getattr(in_words, key) for key in ("part", "kind", "shape", "cause", "gate", "must_be_found")},
        "unreadable": _unreadable(part),
        "certainty": finite(part["certainty"]),
        "t": str(part["t_utc_ns"]),
        "time": moment(part["t_utc_ns"]),
        "image": image_url(part) if part["image"] else None,
        "gone": not has_photo,
        "predicted": part["class"] and label_words(part["class"], pass_class),
        "threshold": engine.threshold if engine is not None and judged_now else None,
        "engine": f"{part['engine_name']} {str(part['engine_hash'])[:12]}",
        "scores": _scores(part, engine.classes if engine is not None and judged_now else None, pass_class),
        "guard": _guard(part),
        "texts": [_text(text) for text in part["texts"]],
        "marks": _marks(part),
    }


def label_words(says: str, pass_class: str | None) -> str:
    """A class, or a decision, in words."""
    if says == pass_class:
        return "Good"
    return "Unknown" if says == UNKNOWN else class_words(says)


def decision_view(decision: Decision, pass_class: str | None) -> dict[str, str]:
    return {
        "by": decision.by,
        "says": decision.says,
        "words": label_words(decision.says, pass_class),
        "when": moment(decision.t_utc_ns),
    }


def _scores(part: Mapping[str, Any], classes: Sequence[str] | None, pass_class: str | None) -> list[dict[str, Any]]:
    """The journal has no names: they are those of the engine in use, if it judged the part. Of another one, only the highest is
    known."""
    values = numbers_in(part["scores"]) or []
    if classes is None or len(classes) != len(values):
        highest = values.index(max(values)) if values else -1
        named = [part["class"] if place == highest else f"class {place + 1}" for place in range(len(values))]
    else:
        named = list(classes)
    return [
        {"name": name, "words": label_words(name, pass_class), "value": value}
        for name, value in zip(named, values, strict=True)
    ]


def _guard(part: Mapping[str, Any]) -> dict[str, Any] | None:
    if part["anomaly_kind"] is None:
        return None
    left, top, width, height = (part[each] for each in _ANOMALY_BOX)
    excess = finite(part["anomaly_excess"])
    return {
        "words": CAUSES.get(part["anomaly_kind"], part["anomaly_kind"]),
        "excess": "beyond the limit" if excess is None else f"{number(excess, 2)} times the limit",
        "place": f"{left} px from the left, {top} px from the top, {width} x {height} px",
    }


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    field: Field = field_of(text)
    is_right = text["verdict"] == "right"
    return {
        **dataclasses.asdict(field),
        "right": is_right,
        "words": "Right" if is_right else CAUSES.get(text["verdict"], text["verdict"]),
        "source": text["source"],
        "score": finite(text["score"]),
        "place": None if text["character"] is None else text["character"] + 1,
        "character_expected": text["character_expected"],
        "character_found": text["character_found"],
    }


def _rows(connection: sqlite3.Connection, table: str, sql: str, values: Sequence[str]) -> Iterator[dict[str, Any]]:
    """SQLite does not check types when it reads a damaged file."""
    types = connection.execute(_TYPES.format(table)).fetchall()
    for row in connection.execute(sql, values):
        for name, type_, has_value in types:
            if not isinstance(row[name], _KINDS[type_]) and (has_value or row[name] is not None):
                raise JournalError(
                    f"the journal is damaged: {table}.{name} of part {row[0]} has a value that no line writes"
                )
        yield dict(row)


def _unreadable(part: Mapping[str, Any]) -> list[str]:
    """What of it is damaged in the journal."""
    found = [words for name, words in _REALS.items() if part[name] != finite(part[name])]
    if part["scores"] is not None and not numbers_in(part["scores"]):
        found.append("the scores")
    for text in part["texts"]:
        if texts_in(text["expected"]) is None:
            found.append(f"what {text['field']} must say")
        if text["score"] != finite(text["score"]):
            found.append(f"the fit of {text['field']}")
    return found


def finite(value: float | None) -> float | None:
    """None for None, and for a number that JSON does not have."""
    return value if value is not None and math.isfinite(value) else None


def _marks(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The places to mark in the image, in px."""
    marks = []
    if part["anomaly_kind"] is not None:
        words = CAUSES.get(part["anomaly_kind"], part["anomaly_kind"])
        marks.append({"kind": "anomaly", "words": words, "box": [part[each] for each in _ANOMALY_BOX]})
    for text in part["texts"]:
        if text["verdict"] != "right":
            box = [text[f"box_{side}"] for side in ("left", "top", "width", "height")]
            marks.append({"kind": "text", "words": f"{text['field']}: {CAUSES.get(text['verdict'], '')}", "box": box})
    return marks
