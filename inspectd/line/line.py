"""The line: acquire thread -> bounded queue -> inspection thread, wired to gate, journal and archive.

The owner of the line (`service`) calls `beat` every few ms from the main thread. It collects what the gate did, raises the
first error of any stage, and tells the gate whether the line sees every trigger.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from inspectd.camera import Camera
from inspectd.config import Config
from inspectd.control.requester import Requester
from inspectd.control.stops import STOPS
from inspectd.errors import LineFault
from inspectd.gate import GateLink
from inspectd.gate.link import BEAT_S
from inspectd.gate.outcome import Alive, Done, GateState, Stop
from inspectd.line.acquisition import Acquisition
from inspectd.line.frame_queue import FrameQueue, depth_for
from inspectd.line.inspection import Inspection
from inspectd.line.judges import Judges
from inspectd.line.ledger import Books
from inspectd.line.liveness import Progress
from inspectd.records.archive import Archive
from inspectd.records.journal import Journal

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Health:
    """The state of each stage at one moment. Ages are ms since the stage last made progress."""

    camera_delivers: bool
    acquire_age_ms: float
    inspect_age_ms: float
    gate_age_ms: float
    gate_state: GateState
    stops: Stop
    """The latched stops that nobody has acknowledged yet."""
    images_lost: int = 0
    """Images that the archive dropped or could not store."""

    def stalled(self, limit_ms: float) -> list[str]:
        """Names of the stages without progress for longer than `limit_ms`."""
        ages = {"acquire": self.acquire_age_ms, "inspect": self.inspect_age_ms, "gate": self.gate_age_ms}
        return [stage for stage, age_ms in ages.items() if age_ms > limit_ms]


class Line:
    """One camera, one engine, one gate. `start`, then `beat` until `ended`, then `stop`."""

    def __init__(
        self,
        config: Config,
        *,
        camera: Camera,
        judges: Judges,
        gate: GateLink,
        journal: Journal,
        archive: Archive | None,
    ) -> None:
        self.books = Books()
        self._gate = gate
        self._journal = journal
        journal.count_triggers = lambda: self.books.tally().triggers
        self._stall_ms = config.watchdog.stall_ms
        self._drain_s = config.gate.delay_ms / 1000 + config.watchdog.stall_ms / 1000
        self._max_age_ms = config.camera.max_age_ms
        self._queue = queue = FrameQueue(depth_for(self._max_age_ms, judges.service_ms))
        log.info(
            "queue",
            depth=queue.depth,
            max_age_ms=config.camera.max_age_ms,
            service_ms=round(judges.service_ms, 2),
        )
        self._acquisition = Acquisition(
            camera=camera,
            queue=queue,
            gate=gate,
            books=self.books,
            delay_ms=config.gate.delay_ms,
            first_part_id=journal.next_part_id,
            on_camera=self._camera_changed,
            expect_every_s=config.camera.expect_every_s,
            repeats_after=config.camera.repeats_after,
        )
        self._tell_part_numbers(judges)
        self._inspection = Inspection(
            judges=judges,
            queue=queue,
            gate=gate,
            books=self.books,
            journal=journal,
            archive=archive,
            max_age_ms=config.camera.max_age_ms,
        )
        self._threads = [
            threading.Thread(target=self._watched(self._acquisition.run), name="acquire", daemon=True),
            threading.Thread(target=self._watched(self._inspection.run), name="inspect", daemon=True),
        ]
        self._failure: BaseException | None = None
        self._gate_alive = Progress()
        self._gate_state = GateState.STARTING
        self._stops = Stop.named(STOPS.keys() & set(journal.open_stops()))
        """Latched, recorded, and not acknowledged yet. A restart does not end them: nobody has looked."""
        self._sees_every_trigger = False
        self._is_stopping = False

    def start(self) -> None:
        """Raises LineFault if the gate is gone."""
        if self._stops:
            log.warning("run permit off", reasons=self._stops.words, since="the session before")
            self._gate.latch(self._stops)
        for thread in self._threads:
            thread.start()

    def beat(self) -> Health:
        """Call at least every `gate.stall_ms` / 4. Raises the first error of any stage, LineFault if the gate died."""
        self._raise_failure()
        self._hear_gate()
        health = self.health()
        self._sees_every_trigger = health.camera_delivers and not health.stalled(self._stall_ms)
        self._gate.permit(self._sees_every_trigger)
        return health

    def wait(self, duration_s: float) -> None:
        """Wait until the next beat is due. Raises LineFault as soon as the gate dies, because labels then pass unrejected.

        News from the gate does not end the wait: the gate answers every beat, so the next beat would follow at once.
        """
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._gate.wait(left_s)
            self._hear_gate()

    def health(self) -> Health:
        return Health(
            camera_delivers=self._acquisition.delivers.is_set(),
            acquire_age_ms=self._acquisition.progress.age_ms(),
            inspect_age_ms=self._inspection.progress.age_ms(),
            gate_age_ms=self._gate_alive.age_ms(),
            gate_state=self._gate_state,
            images_lost=self._journal.images_lost,
            stops=self._stops,
        )

    @property
    def ended(self) -> bool:
        """The camera has no more images."""
        return self._acquisition.ended.is_set()

    @property
    def judges(self) -> Judges:
        return self._inspection.judges

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height in px of the last inspected image; None before the first one."""
        return self._inspection.image_size

    def swap(self, judges: Judges) -> None:
        """Use `judges` from the next part on. The queue then holds as many images as they can judge in time."""
        before, after = self.judges.engine.manifest, judges.engine.manifest
        if (before.classes, before.pass_class) != (after.classes, after.pass_class):
            log.warning("the new engine has other classes", classes=after.classes, pass_class=after.pass_class)
        self._queue.depth = depth_for(self._max_age_ms, judges.service_ms)
        self._tell_part_numbers(judges)
        self._inspection.swap(judges)

    def _tell_part_numbers(self, judges: Judges) -> None:
        if judges.texts is not None:
            judges.texts.expectations.next_part_id = lambda: self._acquisition.next_part_id

    def acknowledge(self, by: Requester, shown: Stop | None = None) -> Stop:
        """Somebody has looked: the gate forgets the latched stops that this person was shown.

        None: all that are recorded, and the camera's trigger is trusted again. A stop that nobody could see yet always stays.
        Returns the stops that end by this. Raises LineFault if the gate is gone.
        """
        if not shown:
            self._acquisition.reset()
        ended = self._stops if shown is None else self._stops & shown
        if ended:
            self._gate.reset(ended)
            self._stops &= ~ended
            self._journal.stops_acknowledged(by, ended.words)
        log.info("acknowledged", stops=ended.words, **by.words())
        return ended

    def stop(self) -> None:
        """Drop run permit, take no new parts, judge what is queued, let the gate finish what is in flight, check the books.

        Bounded in time: a thread that hangs is left behind, and the journal then shows an unclean end. Raises LineFault.
        """
        self._is_stopping = True
        self._acquisition.stop()
        acquire, inspect = self._threads
        self._join(acquire)
        self._inspection.stop()
        self._join(inspect)
        for news in self._gate.stop():
            self._collect(news)
        if not acquire.is_alive():
            self._acquisition.close()
        hung = [thread.name for thread in self._threads if thread.is_alive()]
        if hung:
            raise LineFault(f"did not stop in time: {', '.join(hung)}")
        self._raise_failure()
        tally = self.books.tally()
        if tally.open:
            raise LineFault(f"{tally.open} parts have no verdict after the line stopped")

    def _raise_failure(self) -> None:
        """Raises LineFault if a stage has died."""
        if isinstance(self._failure, LineFault):
            raise self._failure
        if self._failure is not None:
            raise LineFault(f"{type(self._failure).__name__}: {self._failure}") from self._failure

    def _join(self, thread: threading.Thread) -> None:
        """Meanwhile the gate gets permit messages: without them the line counts as stalled, and cleared labels are rejected."""
        end_s = time.monotonic() + self._drain_s
        while thread.is_alive() and time.monotonic() < end_s:
            self._gate.permit(False)
            thread.join(BEAT_S)
            self._hear_gate()

    def _hear_gate(self) -> None:
        for news in self._gate.receive():
            self._collect(news)

    def _collect(self, news: Done | Alive) -> None:
        if isinstance(news, Alive):
            self._gate_alive.tick()
            self._note_stops(news.stops)
            self._gate_changed(news.state)
            return
        self.books.gate_acted(news.part, passed=news.outcome.lets_through)
        self._journal.amend_outcome(news.part, news.outcome, news.lateness_ns // 1000)

    def _note_stops(self, stops: Stop) -> None:
        for reason in (stops & ~self._stops).words:
            log.warning("run permit off", reason=reason)
            self._journal.stop_begin(reason)
        self._stops |= stops

    def _gate_changed(self, state: GateState) -> None:
        if state is self._gate_state:
            return
        if state is GateState.RUNNING:
            log.info("run permit on")
        elif state is GateState.LINE_NOT_OK and self._is_stopping:
            log.info("run permit off", reason="stopping")
        elif state is not GateState.STOPPED:  # each stop has its own line
            log.warning("run permit off", reason=state.name.lower())
        if state is GateState.OUTPUT_FAILED:
            self._journal.outage_begin("output", "the reject output can't be driven")
        elif self._gate_state is GateState.OUTPUT_FAILED:
            self._journal.outage_end("output")
        self._gate_state = state

    def _camera_changed(self, lost: str | None) -> None:
        if lost is None:
            log.info("camera delivers")
            self._journal.outage_end("camera")
            return
        self._gate.permit(False)
        log.error("camera lost", error=lost)
        self._journal.outage_begin("camera", lost)

    def _watched(self, run: Callable[[], None]) -> Callable[[], None]:
        """A stage that dies ends the line, and so its process: for the gate that is the clearest sign."""

        def watched() -> None:
            try:
                run()
            except LineFault as error:
                self._failure = error
                log.critical("the line ends", error=str(error))
            except BaseException as error:
                self._failure = error
                log.critical("stage died", error=f"{type(error).__name__}: {error}", exc_info=error)

        return watched
