"""Journals with as many parts as a test or a measurement needs, made in seconds: `make_journal(path, parts=..., rejects=...)`.

As a program, for measurements by hand: `python -m tests.records.journals /tmp/large.sqlite --parts 1000000 --rejects 100000`.
"""

import argparse
import json
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from inspectd.part import ANOMALY, TEXT_NOT_EXPECTED
from inspectd.records.archive_folder import file_name
from inspectd.records.journal_schema import RIGHT
from inspectd.records.journal_session import prepare, transaction

CLASSES = ("fail_label_crooked_print", "fail_label_half_printed", "fail_label_not_fully_printed", "no_fail")
GOOD = "no_fail"
THRESHOLD = 0.69
ENGINES = (("filter-label", "a" * 64), ("filter-label", "b" * 64))
EVERY_NTH_PASS = 10
"""Passes of which an image is kept."""
READER = ("filter-label-reader", "c" * 64)
FIELDS = ("lot", "date")
SECOND = 10**9

_KINDS = {"fault": 55, ANOMALY: 15, "text_wrong": 10, "uncertain": 10, TEXT_NOT_EXPECTED: 4, "late": 4, "overrun": 2}
"""Why parts are rejected, and how often."""
_BATCH = 20_000


def make_journal(
    path: Path,
    parts: int = 300,
    rejects: int = 30,
    seed: int = 0,
    *,
    t_end_utc_ns: int | None = None,
    parts_per_s: float = 1.0,
    archive: Path = Path("/var/lib/inspectd/archive"),
) -> None:
    """A journal as a line leaves it after `parts` labels, `rejects` of them rejected, the last one at `t_end_utc_ns` (now).

    It has two sessions, of which the second goes on; two engines, and a reader of two text fields; stops, outages and a clock
    step. Rejects and some passes have images: paths in `archive`, without files. About a minute per million parts.
    """
    draw = random.Random(seed)
    end_ns = time.time_ns() if t_end_utc_ns is None else t_end_utc_ns
    step_ns = round(SECOND / parts_per_s)
    start_ns = end_ns - (parts - 1) * step_ns
    half = max(1, parts // 2)
    rejected = set(draw.sample(range(1, parts + 1), rejects))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        prepare(connection, path, "normal")
        with transaction(connection):
            _begin(connection, (start_ns, start_ns + half * step_ns, end_ns), (half, parts))
        rows: list[dict[str, Any]] = []
        texts: list[tuple[Any, ...]] = []
        for number in range(1, parts + 1):
            row = _part(draw, number, start_ns + (number - 1) * step_ns, number in rejected, archive)
            row["session"] = row["engine"] = 1 if number <= half else 2
            rows.append(row)
            texts += _texts(draw, row)
            if len(rows) == _BATCH or number == parts:
                with transaction(connection):
                    _insert(connection, rows, texts)
                rows, texts = [], []
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _begin(connection: sqlite3.Connection, times: tuple[int, int, int], last: tuple[int, int]) -> None:
    start, middle, end = times
    connection.executemany("INSERT INTO engines (name, hash) VALUES (?, ?)", (*ENGINES, READER))
    connection.executemany(
        "INSERT INTO sessions (started_utc_ns, alive_utc_ns, ended_utc_ns, started_mono_ns, alive_mono_ns, first_part, "
        "last_part, triggers, accounted, clock_steps, ended_cleanly) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (start, middle, middle, 0, middle - start, 1, last[0], last[0], last[0], 0, 1),
            (
                middle,
                end,
                None,
                middle - start,
                end - start,
                last[0] + 1,
                last[1],
                last[1] - last[0],
                last[1] - last[0],
                1,
                0,
            ),
        ],
    )
    connection.execute(
        "INSERT INTO clock_steps VALUES (1, 2, ?, ?, ?, ?)", (last[0], middle - start, middle - SECOND, middle)
    )
    insert_stop = "INSERT INTO stops (session, reason, t_utc_ns, t_mono_ns) VALUES (?, ?, ?, ?)"
    stops = (("too_many_rejects", start, 1), ("reject_unconfirmed", middle, 2), ("reject_not_driven", end, 2))
    connection.executemany(insert_stop, [(session, reason, at, at - start) for reason, at, session in stops])
    connection.execute(
        "UPDATE stops SET acknowledged_utc_ns = t_utc_ns + ?, duration_ns = ?, acknowledged_by = 'anna', "
        "acknowledged_uid = 1000, acknowledged_pid = 4711 WHERE id < 3",
        (20 * SECOND, 20 * SECOND),
    )
    outages = (
        (1, "camera", start, start + SECOND, 0, "the camera gave no frames", None),
        (2, "unseen", middle - SECOND, middle, 0, "the service ended without finishing its parts", None),
        (2, "output", end - SECOND, None, 0, "the output can't be driven", None),
    )
    connection.executemany(
        "INSERT INTO outages (session, kind, t_from_utc_ns, t_to_utc_ns, parts, detail, first_part) VALUES (?, ?, ?, ?, ?, ?, ?)",
        outages,
    )


def _part(draw: random.Random, number: int, t_utc_ns: int, is_reject: bool, archive: Path) -> dict[str, Any]:
    kind = draw.choices(list(_KINDS), list(_KINDS.values()))[0] if is_reject else "pass"
    verdict, reason, predicted = _words(draw, kind)
    was_inspected = predicted is not None
    sure = (
        draw.uniform(0.2, THRESHOLD) if kind == "uncertain" else draw.betavariate(20, 1.2) * (1 - THRESHOLD) + THRESHOLD
    )
    infer_us = round(draw.gauss(6000, 300))
    image = None
    if kind != "overrun" and (is_reject or number % EVERY_NTH_PASS == 0):
        day = time.strftime("%Y-%m-%d", time.localtime(t_utc_ns / SECOND))
        image = str(archive / day / file_name(number, reason or (predicted if verdict == "fault" else None) or verdict))
    return {
        "id": number,
        "frame_number": number,
        "t_utc_ns": t_utc_ns,
        "t_mono_ns": number * SECOND,
        "verdict": verdict,
        "reason": reason,
        "class": predicted,
        "certainty": round(sure, 6) if was_inspected else None,
        "scores": _scores(draw, str(predicted), sure) if was_inspected else None,
        "acquire_us": draw.randint(2000, 2400),
        "queue_us": draw.randint(20, 90),
        "preprocess_us": 300 if was_inspected else None,
        "infer_us": infer_us if was_inspected else None,
        "record_us": draw.randint(200, 900),
        "verdict_us": infer_us + draw.randint(3000, 4000),
        "gate_outcome": "rejected" if is_reject else "passed",
        "gate_lateness_us": draw.randint(20, 300),
        "image": image,
        "anomaly_kind": draw.choice(("print", "part", "turned", "shifted", "faded")) if kind == ANOMALY else None,
        "anomaly_left": draw.randint(0, 200) if kind == ANOMALY else None,
        "anomaly_top": draw.randint(0, 150) if kind == ANOMALY else None,
        "anomaly_width": draw.randint(8, 50) if kind == ANOMALY else None,
        "anomaly_height": draw.randint(8, 40) if kind == ANOMALY else None,
        "anomaly_excess": round(1 + draw.expovariate(2), 3) + 0.001 if kind == ANOMALY else None,
        "guard_us": 1500 if predicted == GOOD else None,
        "text_us": 2500 if kind in ("pass", "text_wrong", TEXT_NOT_EXPECTED) else None,
        "reader": 3,
        "brightness": round(draw.gauss(0.52, 0.01), 6) if was_inspected else None,
        "sharpness": round(draw.gauss(1.8, 0.05), 6) if was_inspected else None,
    }


def _words(draw: random.Random, kind: str) -> tuple[str, str | None, str | None]:
    """Verdict, reason and class."""
    match kind:
        case "pass":
            return "pass", None, GOOD
        case "fault":
            return "fault", None, draw.choices(CLASSES[:-1], (6, 3, 1))[0]
        case "text_wrong":
            return "fault", kind, GOOD
        case "uncertain":
            return "uncertain", None, draw.choice(CLASSES)
        case "late":
            return "missed", kind, GOOD
        case "overrun":
            return "missed", kind, None
        case _:
            return "uncertain", kind, GOOD


def _scores(draw: random.Random, predicted: str, sure: float) -> str:
    others = {each: draw.uniform(0, min(0.2, sure / 2)) for each in CLASSES}
    return json.dumps([round(value, 6) for value in {**others, predicted: sure}.values()])


def _texts(draw: random.Random, part: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    if part["text_us"] is None:
        return
    right = {"lot": "LOT 7482-01", "date": "25.11.2026"}
    wrong_field = draw.choice(FIELDS)
    for field, text in right.items():
        box = (40, 60 if field == "lot" else 90, 120, 18)
        if part["reason"] == "text_wrong" and field == wrong_field:
            place = draw.randrange(len(text))
            found = draw.choice([each for each in "0123456789?" if each != text[place]])
            read = text[:place] + found + text[place + 1 :]
            yield (
                part["id"],
                field,
                "text_wrong",
                json.dumps([text]),
                "given",
                read,
                -3.5,
                place,
                text[place],
                found,
                *box,
            )
        elif part["reason"] == TEXT_NOT_EXPECTED and field == "lot":
            yield (part["id"], field, TEXT_NOT_EXPECTED, "[]", "nobody has given a lot", "", *(None,) * 4, *box)
        else:
            yield (part["id"], field, RIGHT, json.dumps([text]), "given", text, 1.5, *(None,) * 3, *box)


def _insert(connection: sqlite3.Connection, rows: list[dict[str, Any]], texts: list[tuple[Any, ...]]) -> None:
    names = list(rows[0])
    marks = ", ".join(f":{name}" for name in names)
    connection.executemany(f"INSERT INTO parts ({', '.join(names)}) VALUES ({marks})", rows)
    connection.executemany(f"INSERT INTO texts VALUES ({', '.join('?' * 14)})", texts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--parts", type=int, default=1_000_000)
    parser.add_argument("--rejects", type=int, default=100_000)
    parser.add_argument("--parts-per-s", type=float, default=1.0)
    chosen = parser.parse_args()
    make_journal(chosen.path, chosen.parts, chosen.rejects, parts_per_s=chosen.parts_per_s)
