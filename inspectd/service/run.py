"""`inspectd run`: the daemon's main process, from config to exit code.

Order of start: gate (the output is safe), engine (golden images), journal, camera, READY. Then the main thread only
supervises: it calls `beat` of the line, feeds the systemd watchdog while every stage makes progress, and does what people ask
for.
"""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import structlog

from inspectd.config import Config, load_config
from inspectd.control.server import ControlServer
from inspectd.errors import ConfigError, LineFault
from inspectd.gate import GateLink
from inspectd.gate.link import BEAT_S
from inspectd.line.judges import Judges, load_judges
from inspectd.line.line import Health, Line
from inspectd.line.time_budget import least_budget
from inspectd.records.archive import Archive
from inspectd.records.archive_folder import highest_part_id
from inspectd.records.housekeeping import Housekeeper
from inspectd.records.journal import Journal
from inspectd.service.operator import Operator, Signals
from inspectd.service.startup import StartTimes
from inspectd.service.status import StatusLine
from inspectd.systemd import Notifier

log = structlog.get_logger()

_SWITCH_INTERVAL_S = 0.0002
"""With Python's default of 5 ms, a busy thread may hold the GIL for as long as two inferences take."""


def run(path: Path) -> None:
    """Inspect until SIGTERM or the end of a finite camera.

    Raises InspectdError. Its `exit_code` tells systemd whether a restart can help.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    times = StartTimes()
    signals = Signals()
    config = load_config(path)
    times.passed("config")
    camera = config.camera.create()
    # this comes first: if line and gate died together before, run permit may still be on
    with GateLink.start(config.gate, camera) as gate:
        times.passed("gate")
        judges = _load_judges(path, config)
        times.passed("engine")
        journal = _open_journal(config)
        with ExitStack() as stack:
            journal.use_engine(*judges.ids)
            times.passed("journal")
            housekeeper = stack.enter_context(Housekeeper(config.journal))
            archive = None
            if config.archive is not None:
                archive = stack.enter_context(Archive(config.archive, journal.amend_image, journal.image_lost))
            control = None
            if config.control is not None:
                control = stack.enter_context(ControlServer(config.control))
            stack.callback(gate.close)  # called first: the output is safe before anything else is closed
            line = Line(config, camera=camera, judges=judges, gate=gate, journal=journal, archive=archive)
            _supervise(path, config, line, signals, control, times, (journal.check, housekeeper.check))
        journal.close()


def _load_judges(path: Path, config: Config) -> Judges:
    """Raises ConfigError or EngineError if no label could be judged, or none in time."""
    judges = load_judges(config, config.camera.known_size())
    refusal = least_budget(config, judges).refusal
    if refusal is not None:
        raise ConfigError(f"{path}: {refusal}")
    return judges


def _open_journal(config: Config) -> Journal:
    archived = config.archive
    first_part_id = (lambda: 1) if archived is None else (lambda: highest_part_id(archived.folder) + 1)
    return Journal.open(config.journal, exclusive=True, first_part_id=first_part_id)


def _supervise(
    path: Path,
    config: Config,
    line: Line,
    signals: Signals,
    control: ControlServer | None,
    times: StartTimes,
    checks: Sequence[Callable[[], None]],
) -> None:
    """`checks` are called at every beat. An error of a check ends the line."""
    status = StatusLine()
    systemd = _Systemd(line, config.watchdog.stall_ms, times, status)
    operator = Operator(path, config, line, signals, control, systemd.notifier, status)
    line.start()
    gc.freeze()
    while not (signals.stop or line.ended):
        for check in checks:
            check()
        health = line.beat()
        systemd.report(health)
        _exit_if_hung(health, config.watchdog.exit_after_s)
        operator.beat(health)
        line.wait(BEAT_S)
    log.info("stopping", reason="asked to" if signals.stop else "the camera has no more images")
    systemd.notifier.stopping()
    line.stop()
    log.info("stopped", **asdict(line.books.tally()))


class _Systemd:
    """Reports to systemd: READY once the camera delivers, the watchdog while every stage makes progress, the status line."""

    def __init__(self, line: Line, stall_ms: float, times: StartTimes, status: StatusLine) -> None:
        self.notifier = Notifier()
        self._times = times
        self._line = line
        self._stall_ms = stall_ms
        self._status = status
        self._is_ready = False
        self._next_report_s = 0.0

    def report(self, health: Health) -> None:
        now_s = time.monotonic()
        if not self._is_ready and health.camera_delivers:
            self._is_ready = True
            self.notifier.ready()
            self._times.passed("camera")
            log.info("ready", **self._times.ms())
        if now_s < self._next_report_s:
            return
        self._next_report_s = now_s + 1.0
        self.notifier.status(self._status.text(self._line.books.tally(), health, now_s))
        stalled = health.stalled(self._stall_ms)
        if stalled:
            log.error("no progress", stages=stalled)
        else:
            self.notifier.watchdog()


def _exit_if_hung(health: Health, limit_s: float) -> None:
    hung = health.stalled(limit_s * 1000)
    if hung:
        raise LineFault(f"no progress for {limit_s:g} s: {', '.join(hung)}")
