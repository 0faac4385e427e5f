"""`inspectd learn`: make a better engine from reviewed photos, and prove that it is not worse."""

import json
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from inspectd.commands.learn import report
from inspectd.commands.learn.training import write_training_manifest
from inspectd.config import Config, load_config
from inspectd.errors import ConfigError, JournalError, ReviewError
from inspectd.files.atomic_write import atomic_write
from inspectd.inference.bundle import Bundle, load_bundle
from inspectd.learning.learned import Candidate, Learned, LineCounts, learn
from inspectd.learning.new_bundle import write_bundle
from inspectd.learning.renewed import next_minor
from inspectd.records.reading import open_for_reading
from inspectd.records.reviews import Reviewed, Reviews
from inspectd.terminal import console

REPORT = "learn.json"
_TRAINING = "training.csv"


def run(config: Path, reviews: Path, out: Path, sign: Path | None, *, as_json: bool) -> int:
    """Exit code 0: a new bundle is written; 1: refused, and only a report is written.

    Raises ConfigError and EngineError: the config, the engine, the reviews, a photo or the key can't be used; OSError.
    """
    start_s = time.monotonic()
    line = load_config(config)
    bundle = _bundle(line)
    try:
        with closing(Reviews(reviews, read_only=True)) as opened:
            reviewed = list(opened.reviewed())
    except ReviewError as error:
        raise ConfigError(f"--reviews: {error}") from error
    learned = learn(bundle, reviewed, _counts(line, bundle, reviewed))
    out.mkdir(parents=True, exist_ok=True)
    found = report.figures(learned, bundle.manifest) | {"bundle": None, "training_manifest": None}
    if learned.needs_training:
        path = out / _TRAINING
        write_training_manifest(path, learned.judged, bundle.manifest.classes)
        found["training_manifest"] = str(path)
    if not learned.reasons and learned.candidate is not None:
        folder = _write(bundle, learned, learned.candidate, found, out, sign)
        found["bundle"] = str(folder)
    found["seconds"] = round(time.monotonic() - start_s, 1)
    with atomic_write(out / REPORT) as unfinished:
        unfinished.write_text(json.dumps(found, indent=2), encoding="utf-8")
    if as_json:
        print(json.dumps(found))
    else:
        _print(learned, found, bundle, line, signed=sign is not None)
    return 0 if found["accepted"] else 1


def _bundle(line: Config) -> Bundle:
    bundle = load_bundle(line.engine)
    if line.inference.signed_by is not None:
        from inspectd.inference.signature import check_signature

        check_signature(bundle, line.inference.signed_by)
    return bundle


def _counts(line: Config, bundle: Bundle, reviewed: list[Reviewed]) -> LineCounts | None:
    """What the line did with the labels since the first and until the last reviewed one. None if the journal can't say."""
    if not reviewed:
        return None
    times = [one.t_trigger_utc_ns for one in reviewed]
    try:
        with closing(open_for_reading(line.journal.path)) as journal:
            passed, rejected = journal.execute(
                "SELECT count(*) FILTER (WHERE verdict = 'pass'), count(*) FILTER (WHERE verdict IN ('fault', 'uncertain')) "
                "FROM parts WHERE t_utc_ns BETWEEN ? AND ?",
                (min(times), max(times)),
            ).fetchone()
    except (JournalError, sqlite3.Error) as error:
        console(stderr=True).print(
            f"the worst case is assumed, because the journal does not say what share passes: {error}"
        )
        return None
    return LineCounts(passed, rejected)


def _write(
    bundle: Bundle, learned: Learned, candidate: Candidate, found: Mapping[str, Any], out: Path, key: Path | None
) -> Path:
    manifest = bundle.manifest
    version = next_minor(manifest.version)
    while (folder := out / f"{manifest.name}-{version}").exists():
        version = next_minor(version)
    provenance = {
        "engine": manifest.version,
        "engine_hash": bundle.hash,
        "photos": found["photos"],
        "before": found["before"],
        "after": found["after"],
    }
    with atomic_write(folder) as unfinished:
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            section = report.section(learned, manifest, candidate)
            write_bundle(unfinished, bundle, version, candidate, provenance, section)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    if key is not None:
        from inspectd.inference.signature import sign

        sign(load_bundle(folder), key)
    return folder


def _print(learned: Learned, found: Mapping[str, Any], bundle: Bundle, line: Config, *, signed: bool) -> None:
    screen = console()
    for sentence in [*report.left_out(learned), *report.sentences(learned), *found["changes"]]:
        screen.print(sentence)
    if found["accepted"]:
        screen.print(f"{found['bundle']}: written. It is proven not worse than {bundle.manifest.version}.")
        if line.inference.signed_by is not None and not signed:
            screen.print(
                f"The line accepts signed engines only: inspectd engines sign {found['bundle']} --key PRIVATE.pem"
            )
        screen.print(f"next: inspectd engines activate {line.engine} {found['bundle']}")
        return
    screen.print("Refused. No engine was written:")
    for sentence in found["reasons"]:
        screen.print(f"- {sentence}")
    for sentence in found["wanted"]:
        screen.print(f"- wanted: {sentence}")
    if found["needs_training"]:
        screen.print(
            "A training is needed: the photos show that no head on this backbone does it. "
            f"python tools/train.py photos --data {found['training_manifest']} --set pass_class={bundle.manifest.pass_class}"
        )
