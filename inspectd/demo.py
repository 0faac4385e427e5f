"""`inspectd demo`: the real daemon, on images whose truth is known, with a live view and an honest end.

The daemon runs as its own process, exactly as under systemd; this one only reads its journal.
"""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live

from inspectd.comparison import UNKNOWN, Comparison, Row, Truth, compare, read_rows, read_truth
from inspectd.config import load_config
from inspectd.contact_sheet import write_contact_sheet
from inspectd.demo_view import live_view, result_tables
from inspectd.errors import ConfigError, JournalError, LineFault
from inspectd.inference import load_bundle

_POLL_S = 0.25
_SILENCE_S = 30.0
"""A daemon that records nothing new for this long has failed."""
_SHEET = 60
_RED, _ORANGE = (0, 0, 200), (0, 140, 255)


def run(config_path: Path, folder: Path, out: Path) -> int:
    """Run the line of `config_path` over `folder` (images served in name order, and their truth.csv) and compare.

    Writes `line.yaml`, the journal, the archive, `summary.json` and `rejects.png` to `out`.
    Returns 1 if a faulty label was passed. Raises ConfigError for a folder without truth, LineFault if the daemon fails.
    """
    truth = read_truth(folder)
    line = _place(config_path, folder, out)
    config = load_config(line)
    if config.journal.path.exists():
        raise ConfigError(f"{config.journal.path} holds an earlier run; remove {out} or give another --out")
    pass_class = load_bundle(config.engine).manifest.pass_class
    _inspect(line, config.journal.path, len(truth))
    comparison = compare(read_rows(config.journal.path), truth, pass_class)
    _show(comparison, folder, out)
    return int(comparison.faulty_passed > 0)


def _place(config_path: Path, folder: Path, out: Path) -> Path:
    """A copy of the line config with images, records and archive where this run wants them."""
    load_config(config_path)
    values: dict[str, Any] = yaml.safe_load(config_path.read_text(encoding="utf-8"))
    if values["camera"]["kind"] == "replay":
        values["camera"] |= {"source": str(folder.resolve()), "forever": False}
    elif "emulated" in values["camera"]:
        values["camera"]["emulated"]["images"] = str(folder.resolve())
    else:
        raise ConfigError(
            f"{config_path}: camera: serves no folder; give it 'kind: replay', or 'kind: pylon' with 'emulated'"
        )
    values["engine"] = str((config_path.parent / values["engine"]).resolve())
    values["gate"]["output"]["record"] = str(out.resolve() / "output.jsonl")
    values["journal"]["path"] = str(out.resolve() / "journal.sqlite")
    values["archive"] = {**values.get("archive", {}), "folder": str(out.resolve() / "archive")}
    out.mkdir(parents=True, exist_ok=True)
    line = out / "line.yaml"
    line.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return line


def _inspect(line: Path, journal: Path, parts: int) -> None:
    log = line.with_name("daemon.log")
    with log.open("wb") as stream:
        daemon = subprocess.Popen([sys.executable, "-m", "inspectd", "run", "--config", str(line)], stderr=stream)
        try:
            _watch(daemon, journal, parts)
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(timeout=30)
    if code != 0:
        raise LineFault(f"the daemon ended with exit code {code}; its last words are in {log}")


def _watch(daemon: subprocess.Popen[bytes], journal: Path, parts: int) -> None:
    """Returns when the daemon has judged `parts` parts, or has ended."""
    judged, since = 0, time.monotonic()
    with Live(live_view([], parts), console=Console(), refresh_per_second=4) as live:
        while daemon.poll() is None:
            rows = _rows_so_far(journal)
            live.update(live_view(rows, parts))
            if len(rows) >= parts:
                return
            if len(rows) > judged:
                judged, since = len(rows), time.monotonic()
            if time.monotonic() - since > _SILENCE_S:
                raise LineFault(f"the daemon has recorded nothing for {_SILENCE_S:g} s, {judged} of {parts} parts done")
            time.sleep(_POLL_S)


def _rows_so_far(journal: Path) -> list[Row]:
    try:
        return read_rows(journal)
    except (JournalError, sqlite3.OperationalError):  # the daemon has not made it yet
        return []


def _show(comparison: Comparison, folder: Path, out: Path) -> None:
    console = Console()
    for table in result_tables(comparison):
        console.print(table)
    (out / "summary.json").write_text(json.dumps(comparison.as_dict(), indent=2), encoding="utf-8")
    rejects = [(row, truth) for row, truth in comparison.judged if not row.passed]
    write_contact_sheet(
        out / "rejects.png", [_tile(row, truth, comparison.pass_class, folder) for row, truth in rejects[:_SHEET]]
    )
    console.print(
        f"rejected labels with verdict and certainty: {out / 'rejects.png'}; all figures: {out / 'summary.json'}"
    )


def _tile(row: Row, truth: Truth, pass_class: str, folder: Path) -> tuple[Path, tuple[str, str], tuple[int, int, int]]:
    certainty = "" if row.certainty is None else f" {row.certainty:.2f}"
    was = f"{UNKNOWN}: {truth.kind}" if truth.label_class == UNKNOWN else truth.label_class
    colour = _ORANGE if truth.label_class == pass_class else _RED
    return folder / truth.file, (f"{row.part}: {row.label}{certainty}", f"was {was}"), colour
