"""What the plant saw: the record of its Modbus device (`tools/modbus_plc.py`), read."""

import bisect
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any


class Level:
    """One coil over time. It is off before its first write."""

    def __init__(self, writes: list[tuple[int, int]]) -> None:
        before = [0, *(value for _, value in writes)]
        changes = [write for write, level in zip(writes, before, strict=False) if write[1] != level]
        self._times = [t_ns for t_ns, _ in changes]
        self._values = [value for _, value in changes]

    def at(self, t_ns: int) -> bool:
        place = bisect.bisect_right(self._times, t_ns) - 1
        return place >= 0 and self._values[place] == 1

    def times_on(self, t_from_ns: int, t_to_ns: int) -> Iterator[tuple[int, int]]:
        """(from, to) of each time in which it was on, cut to the range; a moment at the very edge has no length."""
        edges = [t_from_ns, *self._times[slice(*self._places(t_from_ns, t_to_ns))], t_to_ns]
        for begin_ns, end_ns in pairwise(edges):
            if self.at(begin_ns):
                yield begin_ns, end_ns

    def first_off(self, t_from_ns: int) -> int | None:
        """When it was off for the first time from `t_from_ns` on."""
        if not self.at(t_from_ns):
            return t_from_ns
        first = bisect.bisect_right(self._times, t_from_ns)
        return next((self._times[place] for place in range(first, len(self._times)) if not self._values[place]), None)

    def _places(self, t_from_ns: int, t_to_ns: int) -> tuple[int, int]:
        return bisect.bisect_right(self._times, t_from_ns), bisect.bisect_left(self._times, t_to_ns)


class Record:
    """What the plant saw: the levels of its coils, and what happened to it."""

    def __init__(self, path: Path) -> None:
        whole = path.read_text().rpartition("\n")[0]  # the last line may be half written
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        self.end_ns = time.monotonic_ns()

    def coil(self, address: int) -> Level:
        return Level([(line["t"], line["value"]) for line in self.lines if line.get("coil") == address])

    def blind_ns(self, t_from_ns: int, t_to_ns: int) -> int:
        """For how long of the range the device itself did not run: the machine stood still."""
        spans = ((line["since"], line["t"]) for line in self.lines if line.get("event") == "blind")
        return sum(max(0, min(t_to_ns, end_ns) - max(t_from_ns, begin_ns)) for begin_ns, end_ns in spans)

    def around(self, t_ns: int, before_ms: float, after_ms: float) -> list[str]:
        """The lines near a moment, times in ms from it: evidence."""
        near = (line for line in self.lines if -before_ms <= (line["t"] - t_ns) / 1e6 <= after_ms)
        return [f"{(line['t'] - t_ns) / 1e6:+9.2f} ms  {_rest(line)}" for line in near]


def _rest(line: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in line.items() if key != "t")
