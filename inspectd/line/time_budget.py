"""Where the time of one label goes, from trigger to reject. It must fit into camera.max_age_ms and gate.delay_ms."""

import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass

from inspectd.camera import Camera
from inspectd.camera.base import EndOfImages
from inspectd.config import Config
from inspectd.line.judges import Judges
from inspectd.records.journal import JournalConfig

_LABELS = 5
_LOOK_S = 2.0
_COMMITS = 20


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """The times of a label that does not have to wait, in ms."""

    image_ms: float
    """From the trigger until the image has arrived: exposure, readout, transfer."""
    engine_ms: float
    """Preprocessing, inference and guard."""
    text_ms: float
    """Texts and codes; 0 if the line verifies none."""
    slow_ms: float
    """Engine and texts for the slowest of 100 labels."""
    record_ms: float
    """One commit to the journal."""
    max_age_ms: float
    """`camera.max_age_ms`"""
    delay_ms: float
    """`gate.delay_ms`"""
    period_ms: float | None = None
    """From one label to the next; None if only the belt decides."""

    @property
    def refusal(self) -> str | None:
        """Why no label can pass in time; None if labels can."""
        if self.image_ms >= self.max_age_ms:
            return (
                f"an image comes {self.image_ms:.1f} ms after its trigger (exposure, readout, transfer), but camera.max_age_ms "
                f"is {self.max_age_ms:g}: every label would be rejected as stale_frame; shorten the exposure, or raise that key"
            )
        if self._used_ms >= self.delay_ms:
            return (
                f"{self._sum}, but gate.delay_ms is {self.delay_ms:g}: every label would be rejected as late; use a faster "
                "engine or another inference.threads, or move the rejector farther away"
            )
        return None

    @property
    def warning(self) -> str | None:
        """Why some good labels will be rejected; None if there is no reason to expect it."""
        if self.period_ms is not None and self._used_ms - self.image_ms > self.period_ms:
            return (
                f"a label comes every {self.period_ms:.1f} ms, but takes {self._inspection} ms: labels that wait too long are "
                "rejected as overrun"
            )
        if self.image_ms + self.slow_ms + self.record_ms >= self.delay_ms:
            return f"{self}; the slowest of 100 labels takes {self.slow_ms:.1f} ms in the engine and would be late"
        return None

    def __str__(self) -> str:
        return (
            f"{self._sum} of gate.delay_ms {self.delay_ms:g}, {self.delay_ms - self._used_ms:.1f} ms left; the image may wait "
            f"{self.max_age_ms - self.image_ms:.1f} ms in the queue (camera.max_age_ms {self.max_age_ms:g})"
        )

    @property
    def _used_ms(self) -> float:
        return self.image_ms + self.engine_ms + self.text_ms + self.record_ms

    @property
    def _inspection(self) -> str:
        texts = f" + texts {self.text_ms:.1f}" if self.text_ms else ""
        return f"engine {self.engine_ms:.1f}{texts} + record {self.record_ms:.1f}"

    @property
    def _sum(self) -> str:
        return f"image {self.image_ms:.1f} + {self._inspection} = {self._used_ms:.1f} ms"


def least_budget(config: Config, judges: Judges) -> TimeBudget:
    """The least that any label takes, as far as it is known before camera and journal are open."""
    return TimeBudget(
        image_ms=config.camera.known_exposure_ms(),
        engine_ms=judges.engine.median_ms,
        text_ms=judges.texts.median_ms if judges.texts else 0,
        slow_ms=judges.service_ms,
        record_ms=0,
        max_age_ms=config.camera.max_age_ms,
        delay_ms=config.gate.delay_ms,
        period_ms=config.camera.known_period_ms(),
    )


@dataclass(frozen=True, slots=True)
class NextImages:
    """What an open camera gave."""

    ms: float
    """The median time from trigger to arrival."""
    size: tuple[int, int]
    """Width and height of the last one in px."""


def measure_images(camera: Camera) -> NextImages | None:
    """The next labels of an open camera. None if no label comes within 2 s. Raises CameraError."""
    took_ms: list[float] = []
    size = (0, 0)
    end_s = time.monotonic() + _LOOK_S
    try:
        while len(took_ms) < _LABELS and time.monotonic() < end_s:
            frame = camera.grab(100)
            if frame is not None and frame.image is not None:
                took_ms.append((frame.t_arrival_ns - frame.t_trigger_ns) / 1e6)
                height, width = frame.image.shape[:2]
                size = width, height
    except EndOfImages:
        pass
    return NextImages(statistics.median(took_ms), size) if took_ms else None


def measure_record_ms(config: JournalConfig) -> float:
    """The median time of one commit, measured with a database in the journal's folder. Raises OSError or sqlite3.Error."""
    took_ms = []
    with (
        tempfile.TemporaryDirectory(prefix=".inspectd-check-", dir=config.path.parent) as folder,
        closing(sqlite3.connect(f"{folder}/probe.sqlite", isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {config.synchronous.upper()}")
        connection.execute("CREATE TABLE parts (id INTEGER PRIMARY KEY, row TEXT)")
        for part in range(_COMMITS):
            begin_ns = time.monotonic_ns()
            connection.execute("INSERT INTO parts VALUES (?, ?)", (part, "." * 200))
            took_ms.append((time.monotonic_ns() - begin_ns) / 1e6)
    return statistics.median(took_ms)
