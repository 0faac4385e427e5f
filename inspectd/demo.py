"""`inspectd demo`: the real daemon, on images whose truth is known, with a live view and an honest end.

The daemon runs as its own process, exactly as under systemd; this one only reads its journal.
"""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live

from inspectd.comparison import Comparison, Row, compare, read_rows, read_truth
from inspectd.config import load_config
from inspectd.contact_sheet import write_contact_sheet
from inspectd.demo_view import live_view, result_tables
from inspectd.errors import ConfigError, LineFault
from inspectd.journal import open_for_reading

_POLL_S = 0.25
_SILENCE_S = 30.0
"""A daemon that records nothing new for this long has failed."""


def run(config_path: Path, folder: Path, out: Path) -> int:
    """Run the line of `config_path` over `folder` (images served in name order, and their truth.csv) and compare.

    Writes `line.yaml`, the journal, the archive, `summary.json` and `rejects.png` to `out`.
    Returns 1 if a faulty label was passed. Raises ConfigError for a folder without truth, LineFault if the daemon fails.
    """
    truth = read_truth(folder)
    line = _place(config_path, folder, out)
    journal = load_config(line).journal.path
    if journal.exists():
        raise ConfigError(f"{journal} holds an earlier run; remove {out} or give another --out")
    _inspect(line, journal, len(truth))
    rows = read_rows(journal)
    comparison = compare(rows, truth)
    _show(comparison, rows, out)
    return int(comparison.faulty_passed > 0)


def _place(config_path: Path, folder: Path, out: Path) -> Path:
    """A copy of the line config with images, records and archive where this run wants them."""
    load_config(config_path)
    values: dict[str, Any] = yaml.safe_load(config_path.read_text(encoding="utf-8"))
    if "emulated" not in values["camera"]:
        raise ConfigError(f"{config_path}: camera.emulated: missing; the demo serves images through the emulated camera")
    values["engine"] = str((config_path.parent / values["engine"]).resolve())
    values["camera"]["emulated"]["images"] = str(folder.resolve())
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
    except sqlite3.OperationalError:  # the daemon has not made it yet
        return []


def _show(comparison: Comparison, rows: list[Row], out: Path) -> None:
    console = Console()
    for table in result_tables(comparison):
        console.print(table)
    (out / "summary.json").write_text(json.dumps(comparison.as_dict(), indent=2), encoding="utf-8")
    sheet = write_contact_sheet(rows, comparison, out / "rejects.png")
    console.print(f"rejected labels with verdict and certainty: {sheet}")


def _opened(journal: Path) -> Any:
    return closing(open_for_reading(journal))
