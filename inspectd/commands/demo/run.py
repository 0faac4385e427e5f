"""`inspectd demo`: run the real daemon on images with known truth, show it live, and compare verdicts with the truth.

The daemon is a separate process, as under systemd. This process only reads its journal.
"""

import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.live import Live

from inspectd.camera import CameraConfig
from inspectd.camera.image_files import list_photos
from inspectd.camera.pylon.camera import PylonConfig
from inspectd.commands.demo.ground_truth import WRONG_TEXT, Comparison, Row, Truth, compare, read_rows, read_truth
from inspectd.commands.demo.printer import Printer, jobs_of
from inspectd.commands.demo.view import live_view, result_tables
from inspectd.config import load_config
from inspectd.contact_sheet import Tile, write_contact_sheet
from inspectd.errors import ConfigError, JournalError, LineFault
from inspectd.files.yaml_file import dump_yaml, read_yaml
from inspectd.inference import load_bundle
from inspectd.part import MissedReason
from inspectd.records.archive_folder import highest_part_id
from inspectd.terminal import console
from inspectd.text.config import Given, TextConfig

_POLL_S = 0.25
_SILENCE_S = 30.0
"""If the daemon records nothing for this time, it has failed."""
_SHEET = 60
_RED, _ORANGE = (0, 0, 200), (0, 140, 255)


def run(config_path: Path, folder: Path, out: Path) -> int:
    """Run the line of `config_path` on the images that `folder`/truth.csv lists, in the order of their names, and compare.

    Writes `line.yaml`, links to the images, the journal, the archive, `summary.json` and `rejects.png` to `out`.
    If the line verifies texts that must be given to it, it is told what the truth expects, as the printer's controller would.
    Returns 1 if a faulty label or a wrong text was passed. Raises ConfigError if the folder has no truth, LineFault if the
    daemon fails or if it is not known which image a part showed.
    """
    config = load_config(config_path)
    manifest = load_bundle(config.engine).manifest
    truth = read_truth(folder, (*manifest.classes, *([WRONG_TEXT] if config.text else [])))
    journal = out / "journal.sqlite"
    if journal.exists():
        raise ConfigError(f"{journal}: is from an earlier run; remove {out} or give another --out")
    others = sorted({*list_photos(folder).found} - {folder / entry.file for entry in truth})
    if others:
        print(
            f"inspectd: {len(others)} photo(s) are not in truth.csv and are not used, for example {others[0]}",
            file=sys.stderr,
        )
    jobs = [] if config.text is None else jobs_of(truth, _given(config.text), highest_part_id(out / "archive") + 1)
    with tempfile.TemporaryDirectory(prefix="inspectd-demo-") as sockets:  # the path of a socket must be short
        socket = Path(sockets) / "control.sock"
        line = _place(config_path, _link(folder, truth, out / "images"), socket, out)
        _inspect(line, journal, len(truth), Printer(socket, jobs))
    rows = read_rows(journal)
    _refuse_new_begin(rows, load_config(line).camera)
    comparison = compare(rows, truth, manifest.pass_class)
    _show(comparison, folder, out)
    return int(comparison.faulty_passed > 0 or comparison.wrong_text_passed > 0)


def _given(text: TextConfig) -> list[str]:
    return [name for name, field in text.fields.items() if isinstance(field.expect, Given)]


def _link(folder: Path, truth: list[Truth], links: Path) -> Path:
    """Make links to the images that the camera shall play, numbered in the order of `truth`. Raises ConfigError."""
    links.mkdir(parents=True, exist_ok=True)
    for path in links.iterdir():
        if not path.is_symlink():
            raise ConfigError(f"{links}: contains files that are not from the demo; give another --out")
        path.unlink()
    for number, entry in enumerate(truth):
        path = folder / entry.file
        (links / f"{number:06}{path.suffix}").symlink_to(path.resolve())
    return links


def _refuse_new_begin(rows: list[Row], camera: CameraConfig) -> None:
    """Raises LineFault if a frame was lost: then the emulator starts again at its first image, but the numbers go on."""
    if isinstance(camera, PylonConfig) and camera.trigger.source == "software":
        for row in rows:
            if row.reason == MissedReason.LOST_FRAME:
                raise LineFault(
                    f"part {row.part}: the emulated camera lost a frame, so it is not known which image the parts after it "
                    "showed; try again with a lower camera.trigger.rate_hz or with camera.kind: replay"
                )


def _place(config_path: Path, folder: Path, socket: Path, out: Path) -> Path:
    """Write a copy of the line config with other paths for images, socket, journal and archive. Raises ConfigError."""
    values = read_yaml(config_path, "'camera' and 'gate'")
    if values["camera"]["kind"] == "replay":
        values["camera"] |= {"source": str(folder.resolve()), "forever": False}
    elif values["camera"].get("emulated"):
        values["camera"]["emulated"]["images"] = str(folder.resolve())
    else:
        raise ConfigError(
            f"{config_path}: camera: can't play a folder; use 'kind: replay', or 'kind: pylon' with 'emulated'"
        )
    values["engine"] = str((config_path.parent / values["engine"]).resolve())
    if (values.get("text") or {}).get("reader"):
        values["text"]["reader"] = str((config_path.parent / values["text"]["reader"]).resolve())
    values["control"] = {"socket": str(socket)}
    values["gate"]["output"]["record"] = str(out.resolve() / "output.jsonl")
    values["journal"]["path"] = str(out.resolve() / "journal.sqlite")
    values["archive"] = {**(values.get("archive") or {}), "folder": str(out.resolve() / "archive")}
    out.mkdir(parents=True, exist_ok=True)
    line = out / "line.yaml"
    line.write_text(dump_yaml(values), encoding="utf-8")
    return line


def _inspect(line: Path, journal: Path, parts: int, printer: Printer) -> None:
    log = line.with_name("daemon.log")
    with log.open("wb") as stream:
        daemon = subprocess.Popen([sys.executable, "-m", "inspectd", "run", "--config", str(line)], stderr=stream)
        try:
            printer.begin(lambda: daemon.poll() is None, _SILENCE_S)
            _watch(daemon, journal, parts, printer)
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(timeout=30)
    if code != 0:
        raise LineFault(f"the daemon ended with exit code {code}; see its log {log}")


def _watch(daemon: subprocess.Popen[bytes], journal: Path, parts: int, printer: Printer) -> None:
    """Announce each job before it begins. Return when the daemon has judged `parts` parts or has ended. Raises LineFault if it records nothing."""
    judged, since = 0, time.monotonic()
    screen = console()
    with Live(live_view([], parts), console=screen, refresh_per_second=4, transient=not screen.is_terminal) as live:
        while daemon.poll() is None:
            rows = _rows_so_far(journal)
            live.update(live_view(rows, parts))
            if rows:
                printer.announce(rows[-1].part + 1)
            if len(rows) >= parts:
                return
            if len(rows) > judged:
                judged, since = len(rows), time.monotonic()
            if time.monotonic() - since > _SILENCE_S:
                raise LineFault(
                    f"the daemon has recorded nothing for {_SILENCE_S:g} s; {judged} of {parts} parts are done"
                )
            time.sleep(_POLL_S)


def _rows_so_far(journal: Path) -> list[Row]:
    try:
        return read_rows(journal)
    except (JournalError, sqlite3.OperationalError):  # the daemon has not created it yet
        return []


def _show(comparison: Comparison, folder: Path, out: Path) -> None:
    screen = console()
    for table in result_tables(comparison):
        screen.print(table)
    (out / "summary.json").write_text(json.dumps(comparison.as_dict(), indent=2), encoding="utf-8")
    rejects = [(row, truth) for row, truth in comparison.judged if not row.passed]
    write_contact_sheet(
        out / "rejects.png", [_tile(row, truth, comparison.pass_class, folder) for row, truth in rejects[:_SHEET]]
    )
    screen.print(
        f"rejected labels with verdict and certainty: {out / 'rejects.png'}; all figures: {out / 'summary.json'}"
    )


def _tile(row: Row, truth: Truth, pass_class: str, folder: Path) -> Tile:
    certainty = "" if row.certainty is None or row.place is not None else f" {row.certainty:.2f}"
    colour = _ORANGE if truth.label_class == pass_class else _RED
    caption = (f"{row.part}: {row.said}{certainty}", f"was {truth.fault or truth.name}")
    return Tile(folder / truth.file, caption, colour, row.place)
