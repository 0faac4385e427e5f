"""How often a page that is stopped anywhere (SIGSTOP) holds a read transaction: only then the journal's log grows until it ends.

SQLite in WAL mode marks each reader by a shared lock on one of the bytes 123 to 127 of the file -shm (sqlite.org/walformat.html,
section 2.3.1); /proc/locks shows it.
"""

import random
import signal
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from inspectd.binomial import interval
from inspectd.terminal import console, track
from inspectd_tools.benchmarks.daemon import Bench
from inspectd_tools.benchmarks.page.processes import Web, line, readers

_PAGES = 10
_READ_MARKS = range(123, 128)
_WATCH_S = 10.0


def measure_holds(bench: Bench, rate_hz: float, stops: int) -> dict[str, Any]:
    """Stop the page `stops` times for a moment. The first time that it holds a transaction, see how fast the log grows."""
    draw = random.Random(0)
    held, growth = 0, None
    with (
        line(bench, rate_hz) as (_, folder),
        Web(folder / "line.yaml", folder / "web") as web,
        readers(web.url, _PAGES),
    ):
        shared, log = folder / "journal.sqlite-shm", folder / "journal.sqlite-wal"
        for _ in track(range(stops), "stops"):
            time.sleep(draw.uniform(0.05, 0.3))
            web.signal(signal.SIGSTOP)
            time.sleep(0.01)
            if _reads(web.pid, shared):
                held += 1
                if growth is None:
                    before = log.stat().st_size
                    time.sleep(_WATCH_S)
                    growth = (log.stat().st_size - before) / 1e6 / _WATCH_S * 60
            web.signal(signal.SIGCONT)
    low, high = interval(held, stops)
    table = Table(
        "stops", "with a transaction", "95 %", "log grows then, MB/min", title=f"{_PAGES} pages, {rate_hz:g} parts/s"
    )
    table.add_row(str(stops), str(held), f"{low:.1%} to {high:.1%}", "-" if growth is None else f"{growth:.1f}")
    console().print(table)
    return {"stops": stops, "held": held, "interval": [low, high], "log_mb_per_min": growth}


def _reads(pid: int, shared: Path) -> bool:
    """Whether the process is inside a read transaction on the journal of this -shm file."""
    inode = shared.stat().st_ino
    for row in Path("/proc/locks").read_text().splitlines():
        fields = row.split()
        if len(fields) == 8 and fields[4] == str(pid) and fields[5].endswith(f":{inode}"):
            begin, end = int(fields[6]), int(fields[7]) if fields[7] != "EOF" else 1 << 62
            if any(begin <= mark <= end for mark in _READ_MARKS):
                return True
    return False
