"""How long the start took, stage by stage."""

import os
import time
from pathlib import Path


class StartTimes:
    """Stages in the order they were passed; the first is what came before: the interpreter and its imports."""

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
        """Of each stage, and in all since the process began."""
        return self._stages | {"total_ms": round((self._last_s - self._begin_s) * 1000)}


def _process_begin_s() -> float:
    """On CLOCK_BOOTTIME, to 10 ms: field 22 of proc(5)'s stat; the second, the program's name, may hold blanks."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
