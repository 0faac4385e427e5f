"""A line that answers at its control socket, and lives in the journal, without a camera."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspectd.control.config import ControlConfig
from inspectd.control.server import ControlServer, Pending
from inspectd.records.journal import Journal


class FakeLine:
    """`stops`: the reasons of its latched stops."""

    def __init__(self, journal: Journal) -> None:
        self.stops: list[str] = []
        self.acknowledged_by: str | None = None
        self._journal = journal
        self._lock = threading.Lock()

    def halt(self, reason: str) -> None:
        """The gate latches a stop."""
        with self._lock:
            self.stops.append(reason)
            self._journal.stop_begin(reason)
            self._journal.flush()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile the caller may write the journal."""
        with self._lock:
            yield

    def beat(self, control: ControlServer) -> None:
        """What the main thread of a line does again and again."""
        with self._lock:
            self._journal.note_alive()
            if (pending := control.take()) is not None:
                self._answer(pending)

    def _answer(self, pending: Pending) -> None:
        if pending.request.verb == "status":
            field = {"allowed": ["LOT 7481-83"], "source": "given", "later": []}
            pending.answer(
                run_permit=not self.stops,
                stops=self.stops,
                gate="stopped" if self.stops else "running",
                camera_delivers=True,
                stalled=False,
                reloading=False,
                engine="toy",
                engine_version="1.0.0",
                engine_hash="ab" * 32,
                text={"next_part": 1, "fields": {"lot": field}},
            )
        elif pending.request.verb == "acknowledge":
            shown = [stop for stop in self.stops if stop in pending.request.stops]
            pending.answer(stops=shown)
            self.stops, self.acknowledged_by = [stop for stop in self.stops if stop not in shown], pending.by.user
            self._journal.stops_acknowledged(pending.by, shown)
            self._journal.flush()


@contextmanager
def running_line(journal: Journal, socket: Path) -> Iterator[FakeLine]:
    """It answers at `socket` until the end of the block. Only its methods may write the journal meanwhile, and whoever has paused it."""
    line, ending = FakeLine(journal), threading.Event()
    with ControlServer(ControlConfig(socket=socket)) as control:

        def run() -> None:
            while not ending.wait(0.02):
                line.beat(control)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield line
        ending.set()
        thread.join(timeout=2)
