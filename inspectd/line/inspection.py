"""The inspection worker: queue -> engine -> texts -> verdict -> journal -> gate. It alone writes the journal.

The order of the last two steps is what the product promises: a pass is recorded first, and only then the gate is told.
"""

import threading
import time

import structlog

from inspectd.errors import EngineLost, InferenceError, JournalError
from inspectd.gate import GateLink
from inspectd.line.frame_queue import FrameQueue
from inspectd.line.judges import Found, Judges
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
    """Judges one part after another. It changes what judges them between two parts only."""

    def __init__(
        self,
        *,
        judges: Judges,
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
        self._judges = judges
        self._next: Judges | None = None
        self._proven = judges
        """The last ones that judged a part. If new ones fail on their first part, these take over again."""
        self._queue = queue
        self._gate = gate
        self._books = books
        self._journal = journal
        self._archive = archive
        self._max_age_ns = round(max_age_ms * 1e6)
        self._stopping = threading.Event()
        self._lost: EngineLost | None = None
        self._warm_failures = Throttle(_COMPLAIN_EVERY_S)
        self._idle_failures = Throttle(_COMPLAIN_EVERY_S)

    @property
    def judges(self) -> Judges:
        """Those of the next part."""
        return self._next or self._judges

    def swap(self, judges: Judges) -> None:
        """Judge the next part with `judges`, which have passed their golden images and are warm."""
        self._next = judges

    def stop(self) -> None:
        """Let `run` judge what is queued, then return."""
        self._stopping.set()

    def run(self) -> None:
        """Until `stop`. Raises EngineLost after the part that met it is recorded: only a new process can judge the next one."""
        while self._lost is None:
            entry = self._queue.get(_WARM_EVERY_S)
            self.progress.tick()
            self._flip()
            if entry is not None:
                self._handle(*entry)
            elif self._stopping.is_set():
                return
            else:
                self._idle()
        raise self._lost

    def _flip(self) -> None:
        judges, self._next = self._next, None
        if judges is not None:
            self._journal.use_engine(*judges.ids)
            self._proven = self._proven.to_fall_back_on(judges)
            self._judges = judges
            manifest = judges.engine.manifest
            log.info("engine in use", engine=manifest.name, version=manifest.version)

    def _handle(self, part: Part, frame: Frame) -> None:
        t_taken_ns = time.monotonic_ns()
        judges = self._judges
        found = self._judge(part, frame, t_taken_ns)
        verdict, by_engine = found.verdict, found.engine
        t_verdict_ns = time.monotonic_ns()
        if t_verdict_ns >= part.due_ns and not isinstance(verdict, Missed):
            verdict = Missed(MissedReason.LATE)
        stages = Stages(
            acquire_us=(frame.t_arrival_ns - frame.t_trigger_ns) // 1000,
            queue_us=(t_taken_ns - frame.t_arrival_ns) // 1000,
            preprocess_us=None if by_engine is None else by_engine.preprocess_us,
            infer_us=None if by_engine is None else by_engine.infer_us,
            guard_us=None if by_engine is None else by_engine.guard_us,
            text_us=found.text_us,
            verdict_us=(t_verdict_ns - frame.t_trigger_ns) // 1000,
        )
        verdict = self._record(part, verdict, stages, found)
        self._books.decide(part.id, verdict)
        if isinstance(verdict, Pass):
            self._gate.clear(part.id)
            if judges.texts is not None:
                judges.texts.passed(part, found.texts)
        if self._archive is not None and frame.image is not None:
            self._archive.offer(part, verdict, frame.image)

    def _judge(self, part: Part, frame: Frame, now_ns: int) -> Found:
        if frame.image is None:
            return Found(Missed(frame.missed or MissedReason.BAD_FRAME))
        if now_ns - frame.t_trigger_ns > self._max_age_ns:
            return Found(Missed(MissedReason.STALE_FRAME))
        judges = self._judges
        try:
            found = judges.judge(part, frame.image)
        except InferenceError as error:
            log.error("inference failed", engine=judges.engine.manifest.name, error=str(error))
            self._fall_back(judges)
            return Found(Missed(MissedReason.ENGINE_ERROR))
        except EngineLost as error:
            self._lost = error
            return Found(Missed(MissedReason.ENGINE_ERROR))
        self._proven = judges
        height, width = frame.image.shape[:2]
        self.image_size = width, height
        return found

    def _fall_back(self, failed: Judges) -> None:
        if failed is not self._proven:
            log.error(
                "the new engine failed on its first part; the one before takes over again",
                engine=failed.engine.manifest.name,
            )
            self._next = self._proven

    def _record(self, part: Part, verdict: Verdict, stages: Stages, found: Found) -> Verdict:
        """Commit the verdict, and return it. A verdict that can't be recorded becomes `record_error`."""
        t_begin_ns = time.monotonic_ns()
        quality = None if found.engine is None else found.engine.quality
        try:
            self._journal.append(part, verdict, stages, found.texts, quality)
        except JournalError as error:
            self._journal.unrecorded(part)
            log.error("verdict can't be recorded", part=part.id, error=str(error))
            return Missed(MissedReason.RECORD_ERROR)
        self._journal.amend_recorded(part.id, (time.monotonic_ns() - t_begin_ns) // 1000)
        return verdict

    def _idle(self) -> None:
        try:
            self._judges.engine.warm()
        except InferenceError as error:
            if self._warm_failures.is_open(time.monotonic()):
                log.warning("engine fails while idle", error=str(error))
        try:
            self._journal.note_alive()
            self._journal.flush()
        except JournalError as error:
            if self._idle_failures.is_open(time.monotonic()):
                log.warning("journal can't be written while idle", error=str(error))
