"""What people ask the running line for: by a signal or over the control socket.

SIGTERM: finish, exit code 0. SIGHUP: acknowledge the latched stops and reload. The control socket: each of these by its verb.
"""

import math
import signal
import time
from dataclasses import asdict
from pathlib import Path

import structlog

from inspectd.config import Config
from inspectd.control.protocol import GOES_ON, AcknowledgeRequest
from inspectd.control.requester import SIGHUP, Requester
from inspectd.control.server import NO_TEXT, ControlServer, Pending
from inspectd.gate.outcome import GateState, Stop
from inspectd.line.line import Health, Line
from inspectd.service.reload import Reload
from inspectd.service.status import StatusLine
from inspectd.systemd import Notifier
from inspectd.text.expectation import Expectations

log = structlog.get_logger()

_RESTS = 10
"""Some labels may be late while an engine is loaded. So the control socket gets no new reload until this many times as long as
the last one took."""


class Signals:
    """What was asked for by a signal. The handlers only set flags; anything else would not be safe."""

    def __init__(self) -> None:
        self.stop = False
        self.acknowledge = False
        self.reload = False
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    def _on_stop(self, *_: object) -> None:
        self.stop = True

    def _on_reload(self, *_: object) -> None:
        self.acknowledge = self.reload = True


class Operator:
    """Does it. The main thread calls `beat` after each beat of the line: at most one request is answered each time."""

    def __init__(
        self,
        path: Path,
        config: Config,
        line: Line,
        signals: Signals,
        control: ControlServer | None,
        notifier: Notifier,
        status: StatusLine,
    ) -> None:
        """`path`: the config file. `control`: None if the line has no control socket."""
        self._path = path
        self._config = config
        self._line = line
        self._signals = signals
        self._control = control
        self._notifier = notifier
        self._status = status
        self._reload: Reload | None = None
        self._begun_s = 0.0
        self._next_reload_s = 0.0
        self._waiting: Pending | None = None
        """The client who waits for the end of the reload that runs."""
        self._expectations: Expectations | None = None
        """What labels must say; None if the line verifies no text."""
        self._follow_texts()

    def _follow_texts(self) -> None:
        """They change with a reload, and again if the new ones fail."""
        texts = self._line.judges.texts
        self._expectations = None if texts is None else texts.expectations
        if self._control is not None:
            self._control.expect = None if self._expectations is None else self._expectations.give

    def beat(self, health: Health) -> None:
        """Raises LineFault if the gate is gone."""
        self._follow_texts()
        if self._expectations is not None:
            self._expectations.look()
        if self._control is not None and (pending := self._control.take()) is not None:
            self._obey(pending, health)
        if self._signals.acknowledge:  # at once: a stop that comes while a reload runs was not seen
            self._signals.acknowledge = False
            self._line.acknowledge(SIGHUP)
        if self._reload is None and self._signals.reload:
            self._signals.reload = False
            self._begin_reload(SIGHUP)
        if self._reload is not None and self._reload.done:
            self._end_reload(self._reload)

    def _obey(self, pending: Pending, health: Health) -> None:
        match pending.request.verb:
            case "status":
                pending.answer(**self._figures(health))
            case "acknowledge":
                self._acknowledge(pending, health.stops)
            case "confirm_clock":
                if self._expectations is None:
                    pending.refuse(NO_TEXT)
                else:
                    pending.answer(**self._expectations.confirm_clock(pending.by))
            case "reload":
                if self._reload is not None:
                    pending.refuse("a reload is running; ask again when it has ended")
                elif (wait_s := self._next_reload_s - time.monotonic()) > 0:
                    pending.refuse(
                        f"the last reload has just ended; ask again in {math.ceil(wait_s)} s, or send SIGHUP"
                    )
                else:
                    self._waiting = pending
                    self._begin_reload(pending.by)

    def _acknowledge(self, pending: Pending, stops: Stop) -> None:
        named = pending.request.stops if isinstance(pending.request, AcknowledgeRequest) else None
        if named is None and len(stops) > 1:
            pending.refuse(
                f"there are {len(stops)} stops ({', '.join(stops.words)}): name those that you have looked at"
            )
            return
        shown = None if named is None else Stop.named(named)
        pending.answer(stops=self._line.acknowledge(pending.by, shown).words)

    def _begin_reload(self, by: Requester) -> None:
        log.info("reload asked for", **by.words())
        self._begun_s = time.monotonic()
        self._notifier.reloading()
        self._reload = Reload(self._path, self._config, self._line.image_size, self._line.judges.texts)

    def _end_reload(self, reload: Reload) -> None:
        if reload.judges is not None:
            self._line.swap(reload.judges)
            self._follow_texts()  # before the answer: who asked may tell the new texts something at once
        self._notifier.ready()
        if self._waiting is not None:
            if reload.judges is None:
                self._waiting.refuse(f"{GOES_ON}{reload.refusal}")
            else:
                self._waiting.answer(**self._engine(), after_restart=reload.after_restart)
        self._reload = self._waiting = None
        now_s = time.monotonic()
        self._next_reload_s = now_s + _RESTS * (now_s - self._begun_s)

    def _figures(self, health: Health) -> dict[str, object]:
        return {
            "name": self._config.name,
            "run_permit": health.gate_state is GateState.RUNNING,
            "gate": health.gate_state.name.lower(),
            "stops": health.stops.words,
            "camera_delivers": health.camera_delivers,
            "stalled": health.stalled(self._config.watchdog.stall_ms),
            **self._engine(),
            "reloading": self._reload is not None,
            "parts_per_minute": round(self._status.parts_per_minute()),
            "books": asdict(self._line.books.tally()),
            "images_lost": health.images_lost,
            "text": None if self._expectations is None else self._expectations.figures(),
        }

    def _engine(self) -> dict[str, object]:
        """What judges the next label."""
        engine = self._line.judges.engine
        return {
            "engine": engine.manifest.name,
            "engine_version": engine.manifest.version,
            "engine_hash": engine.hash,
        }
