"""How long the start took, per stage."""

import os
import time
from pathlib import Path


class StartTimes:
    """The stages in the order in which they were passed. The first one is the start of Python and its imports."""

    def __init__(self) -> None:
        self._stages: dict[str, int] = {}
        self._begin_s = _process_begin_s()
        self._last_s = self._begin_s
        self.passed("imports")

    def passed(self, stage: str) -> None:
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._stages[f"{stage}_ms"] = round((now_s - self._last_s) * 1000)
        self._last_s = now_s

    def ms(self) -> dict[str, int]:
        """The ms of each stage, and in total since the process began."""
        return self._stages | {"total_ms": round((self._last_s - self._begin_s) * 1000)}


def _process_begin_s() -> float:
    """In s of CLOCK_BOOTTIME, to 10 ms: field 22 of stat in proc(5). Field 2, the program's name, may have blanks in it."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
