"""The status line that `systemctl status` shows for a running line."""

import time
from collections import deque

from inspectd.line.ledger import Tally
from inspectd.line.line import Health
from inspectd.part import ANOMALY, TEXT_NOT_EXPECTED, Uncertain

_WINDOW_S = 60.0


class StatusLine:
    """Gets the books about once a second. Knows the rate of the last minute and the last reject."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._rejects: dict[str, int] = {}
        self._last_reject = "none yet"

    def text(self, tally: Tally, health: Health, now_s: float) -> str:
        """`now_s`: monotonic seconds."""
        self._samples.append((now_s, tally.triggers))
        while now_s - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        self._note_reject(tally)
        return (
            f"{self.parts_per_minute():.0f} parts/min, {tally.passed} passed, {tally.rejected} rejected, "
            f"last reject {self._last_reject}, gate {': '.join(filter(None, (health.gate_state.name.lower(), ', '.join(health.stops.words))))}"
            + (f", {health.images_lost} images lost" if health.images_lost else "")
        )

    def parts_per_minute(self) -> float:
        """Of the last minute; 0 before the second call of `text`."""
        if not self._samples:
            return 0.0
        (t_from, n_from), (t_to, n_to) = self._samples[0], self._samples[-1]
        return 60 * (n_to - n_from) / (t_to - t_from) if t_to > t_from else 0.0

    def _note_reject(self, tally: Tally) -> None:
        named = {ANOMALY: tally.anomalies, TEXT_NOT_EXPECTED: tally.not_expected}
        uncertain = {Uncertain.word: tally.uncertain - sum(named.values()), **named}
        rejects = {**tally.faults, **tally.missed, **uncertain}
        for kind, count in rejects.items():
            if count > self._rejects.get(kind, 0):
                self._last_reject = f"{kind} at {time.strftime('%H:%M:%S')}"
        self._rejects = rejects
