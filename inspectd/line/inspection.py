"""The inspection worker: queue -> engine -> verdict -> journal -> gate. It alone writes the journal.

The order of the last two steps is what the product promises: a pass is recorded first, and only then the gate is told.
"""

import threading
import time

import structlog

from inspectd.errors import InferenceError, JournalError
from inspectd.gate import GateLink
from inspectd.inference import Engine, Judged
from inspectd.line.frame_queue import FrameQueue
from inspectd.line.ledger import Books
from inspectd.line.liveness import Progress
from inspectd.logs import Throttle
from inspectd.part import Frame, Missed, MissedReason, Part, Pass, Verdict
from inspectd.records.archive import Archive
from inspectd.records.journal import Journal, Stages

log = structlog.get_logger()

_COMPLAIN_EVERY_S = 1.0
_WARM_EVERY_S = 0.01
"""After this long without work, the engine gets a dummy image. Otherwise the next inference is slower: by a quarter after
10 ms without work, by two thirds after 60 ms, and by a factor of two after 1 s."""


class Inspection:
    """Judges one part after another. It changes its engine between two parts only."""

    def __init__(
        self,
        *,
        engine: Engine,
        queue: FrameQueue,
        gate: GateLink,
        books: Books,
        journal: Journal,
        archive: Archive | None,
        max_age_ms: float,
    ) -> None:
        self.progress = Progress()
        self.image_size: tuple[int, int] | None = None
        """Width and height in px of the last inspected image; None before the first one."""
        self._engine = engine
        self._next_engine: Engine | None = None
        self._proven_engine = engine
        """The last engine that judged a part. If a new engine fails on its first part, this one takes over again."""
        self._queue = queue
        self._gate = gate
        self._books = books
        self._journal = journal
        self._archive = archive
        self._max_age_ns = round(max_age_ms * 1e6)
        self._stopping = threading.Event()
        self._idle_failures = Throttle(_COMPLAIN_EVERY_S)

    @property
    def engine(self) -> Engine:
        return self._engine

    def swap_engine(self, engine: Engine) -> None:
        """Judge the next part with `engine`, which has passed its golden images and is warm."""
        self._next_engine = engine

    def stop(self) -> None:
        """Let `run` judge what is queued, then return."""
        self._stopping.set()

    def run(self) -> None:
        while True:
            entry = self._queue.get(_WARM_EVERY_S)
            self.progress.tick()
            self._flip_engine()
            if entry is not None:
                self._handle(*entry)
            elif self._stopping.is_set():
                return
            else:
                self._idle()

    def _flip_engine(self) -> None:
        engine, self._next_engine = self._next_engine, None
        if engine is not None:
            self._journal.use_engine(engine.manifest.name, engine.hash)
            self._engine = engine
            log.info("engine in use", engine=engine.manifest.name, version=engine.manifest.version)

    def _handle(self, part: Part, frame: Frame) -> None:
        t_taken_ns = time.monotonic_ns()
        verdict, judged = self._judge(frame, t_taken_ns)
        t_verdict_ns = time.monotonic_ns()
        if t_verdict_ns >= part.due_ns and not isinstance(verdict, Missed):
            verdict = Missed(MissedReason.LATE)
        stages = Stages(
            acquire_us=(frame.t_arrival_ns - frame.t_trigger_ns) // 1000,
            queue_us=(t_taken_ns - frame.t_arrival_ns) // 1000,
            preprocess_us=None if judged is None else judged.preprocess_us,
            infer_us=None if judged is None else judged.infer_us,
            guard_us=None if judged is None else judged.guard_us,
            verdict_us=(t_verdict_ns - frame.t_trigger_ns) // 1000,
        )
        verdict = self._record(part, verdict, stages)
        self._books.decide(part.id, verdict)
        if isinstance(verdict, Pass):
            self._gate.clear(part.id)
        if self._archive is not None and frame.image is not None:
            self._archive.offer(part, verdict, frame.image)

    def _judge(self, frame: Frame, now_ns: int) -> tuple[Verdict, Judged | None]:
        """The verdict, and what the engine found (None if it did not inspect the label)."""
        if frame.image is None:
            return Missed(frame.missed or MissedReason.BAD_FRAME), None
        if now_ns - frame.t_trigger_ns > self._max_age_ns:
            return Missed(MissedReason.STALE_FRAME), None
        engine = self._engine
        try:
            judged = engine.judge(frame.image)
        except InferenceError as error:
            log.error("inference failed", engine=engine.manifest.name, error=str(error))
            self._fall_back(engine)
            return Missed(MissedReason.ENGINE_ERROR), None
        self._proven_engine = engine
        height, width = frame.image.shape[:2]
        self.image_size = width, height
        return judged.verdict, judged

    def _fall_back(self, failed: Engine) -> None:
        if failed is not self._proven_engine:
            log.error(
                "the new engine failed on its first part; the one before takes over again", engine=failed.manifest.name
            )
            self._next_engine = self._proven_engine

    def _record(self, part: Part, verdict: Verdict, stages: Stages) -> Verdict:
        """Commit the verdict, and return it. A verdict that can't be recorded becomes `record_error`."""
        t_begin_ns = time.monotonic_ns()
        try:
            self._journal.append(part, verdict, stages)
        except JournalError as error:
            self._journal.unrecorded(part)
            log.error("verdict can't be recorded", part=part.id, error=str(error))
            return Missed(MissedReason.RECORD_ERROR)
        self._journal.amend_recorded(part.id, (time.monotonic_ns() - t_begin_ns) // 1000)
        return verdict

    def _idle(self) -> None:
        try:
            self._engine.warm()
        except InferenceError as error:
            log.warning("engine fails while idle", error=str(error))
        try:
            self._journal.note_alive()
            self._journal.flush()
        except JournalError as error:
            if self._idle_failures.is_open(time.monotonic()):
                log.warning("journal can't be written while idle", error=str(error))
