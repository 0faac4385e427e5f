"""What the page costs the line: blocks with and without it take turns within one run of the line.

A reader of the journal can hold up the line's checkpoints, so the size of the journal's log (-wal) is watched too.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from inspectd.part import Missed
from inspectd.records.reading import open_for_reading
from inspectd.terminal import console, track
from inspectd_tools.benchmarks.daemon import Bench
from inspectd_tools.benchmarks.page.browser import chromium
from inspectd_tools.benchmarks.page.processes import Usage, Web, line, readers

_PAGES = 10
_SETTLE_S = 4.0
"""Not measured: the start of the page and of its readers."""
_RESAMPLED = 2000
NONE = "no page"


@dataclass(frozen=True, slots=True)
class Block:
    """One condition for some seconds."""

    condition: str
    t_from_ns: int
    t_to_ns: int
    """Monotonic."""
    wal_mb: float
    """The largest size of the journal's log."""
    cpu: dict[str, float]
    """Shares of a core: the line with its gate, the page, and its readers."""


Condition = Callable[[Path, ExitStack], dict[str, int]]
"""Brings the condition about, and returns the processes whose CPU time is of interest. What it puts on the stack ends it."""


def ten_readers(folder: Path, stack: ExitStack) -> dict[str, int]:
    """Ten pages are open, on other computers."""
    web = stack.enter_context(Web(folder / "line.yaml", folder / "web"))
    return {"page": web.pid, "readers": stack.enter_context(readers(web.url, _PAGES)).pid}


def ten_tabs(folder: Path, stack: ExitStack) -> dict[str, int]:
    """Ten pages are open in a browser on the line's own computer."""
    web = stack.enter_context(Web(folder / "line.yaml", folder / "web"))
    browser = stack.enter_context(chromium())
    for _ in range(_PAGES):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(web.url)
    return {"page": web.pid, "browser": _parent_of_chromium()}


def stopped(folder: Path, stack: ExitStack) -> dict[str, int]:
    """The page's process does not run any more but has not ended (SIGSTOP), with ten pages open."""
    web = stack.enter_context(Web(folder / "line.yaml", folder / "web"))
    stack.enter_context(readers(web.url, _PAGES))
    time.sleep(1)
    web.signal(signal.SIGSTOP)
    return {"page": web.pid}


def killed(folder: Path, stack: ExitStack) -> dict[str, int]:
    """The page's process was killed with ten pages open."""
    web = stack.enter_context(Web(folder / "line.yaml", folder / "web"))
    stack.enter_context(readers(web.url, _PAGES, may_end=True))
    time.sleep(1)
    web.close()
    return {}


def disk_full(folder: Path, stack: ExitStack) -> dict[str, int]:
    """The disk of the page's state is full, and somebody tries to log in. Needs root, for a small disk in memory."""
    state = folder / "small-disk"
    state.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(state)], check=True)
    stack.callback(subprocess.run, ["umount", "--lazy", str(state)], check=True)
    web = stack.enter_context(Web(folder / "line.yaml", state))
    reading = stack.enter_context(readers(web.url, _PAGES))
    with suppress(OSError):  # it is full then
        (state / "ballast").write_bytes(bytes(2 << 20))
    _log_in(web.url)
    return {"page": web.pid, "readers": reading.pid}


CONDITIONS: dict[str, Condition] = {
    "10 readers": ten_readers,
    "10 tabs": ten_tabs,
    "page stopped (SIGSTOP)": stopped,
    "page killed": killed,
    "page's disk full": disk_full,
}


def measure_neighbours(bench: Bench, rate_hz: float, names: list[str], pairs: int, seconds: float) -> dict[str, Any]:
    """Per condition `pairs` pairs of blocks of `seconds`, without and with it, in the order A B B A A B ..."""
    figures: dict[str, Any] = {}
    for name in names:
        with line(bench, rate_hz) as (daemon, folder):
            blocks = []
            for number in track(range(2 * pairs), name):
                condition = NONE if number % 4 in (0, 3) else name
                blocks.append(_block(condition, daemon.pid, folder, seconds))
        figures[name] = _compared(name, folder, blocks)
    console().print(_table(figures, rate_hz, seconds))
    return {"conditions": figures}


def _block(condition: str, line_pid: int, folder: Path, seconds: float) -> Block:
    wal = folder / "journal.sqlite-wal"
    with ExitStack() as stack:
        watched = {"line": line_pid}
        if condition != NONE:
            watched |= CONDITIONS[condition](folder, stack)
        time.sleep(_SETTLE_S)
        begin_ns, before = time.monotonic_ns(), {name: Usage.of(pid).cpu_s for name, pid in watched.items()}
        largest = 0
        while time.monotonic_ns() - begin_ns < seconds * 1e9:
            time.sleep(0.5)
            largest = max(largest, wal.stat().st_size)
        end_ns = time.monotonic_ns()
        cpu = {name: (Usage.of(pid).cpu_s - before[name]) / (end_ns - begin_ns) * 1e9 for name, pid in watched.items()}
    return Block(condition, begin_ns, end_ns, largest / 1e6, cpu)


def _compared(name: str, folder: Path, blocks: list[Block]) -> dict[str, Any]:
    with closing(open_for_reading(folder / "journal.sqlite")) as journal:
        rows = journal.execute("SELECT t_mono_ns, verdict, verdict_us FROM parts").fetchall()
        unseen = journal.execute("SELECT coalesce(sum(parts), 0) FROM outages").fetchone()[0]
    at_ns = np.array([row["t_mono_ns"] for row in rows])
    ms = np.array([row["verdict_us"] for row in rows]) / 1000
    missed = np.array([row["verdict"] == Missed.word for row in rows])
    of_block = [(block.t_from_ns <= at_ns) & (at_ns < block.t_to_ns) for block in blocks]
    sides = {side: [place for place, block in enumerate(blocks) if block.condition == side] for side in (NONE, name)}
    without, with_it = ([ms[of_block[place]] for place in sides[side]] for side in (NONE, name))
    return {
        "parts": {side: int(sum(of_block[place].sum() for place in places)) for side, places in sides.items()},
        "missed": {side: int(sum(missed[of_block[place]].sum() for place in places)) for side, places in sides.items()},
        "missed_in_the_whole_run": int(missed.sum()),
        "parts_without_record": int(unseen),
        "p50_ms": [float(np.percentile(np.concatenate(each), 50)) for each in (without, with_it)],
        "p99_ms": [float(np.percentile(np.concatenate(each), 99)) for each in (without, with_it)],
        "p50_change": _change(without, with_it, 50),
        "p99_change": _change(without, with_it, 99),
        "wal_mb": {side: max(blocks[place].wal_mb for place in places) for side, places in sides.items()},
        "cpu": _mean([blocks[place].cpu for place in sides[name]]),
        "line_cpu_without": float(np.mean([blocks[place].cpu["line"] for place in sides[NONE]])),
    }


def _change(
    without: list[NDArray[np.float64]], with_it: list[NDArray[np.float64]], percentile: float
) -> dict[str, Any]:
    """The relative change of a percentile of all parts, with a 95 % interval: pairs of blocks are resampled (bootstrap)."""
    rng = np.random.default_rng(0)

    def change(places: NDArray[np.int64]) -> float:
        a, b = (
            np.percentile(np.concatenate([side[place] for place in places]), percentile) for side in (without, with_it)
        )
        return float(b / a - 1)

    count = len(without)
    drawn = [change(rng.integers(0, count, count)) for _ in range(_RESAMPLED)]
    return {
        "change": change(np.arange(count)),
        "interval": [float(value) for value in np.percentile(drawn, (2.5, 97.5))],
    }


def _mean(shares: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in shares])) for name in shares[0]}


def _table(figures: dict[str, Any], rate_hz: float, seconds: float) -> Table:
    table = Table(
        "condition",
        "parts",
        "missed",
        "p50 ms",
        "change",
        "p99 ms",
        "change (95 %)",
        "log MB",
        "CPU, cores",
        title=f"trigger to verdict at {rate_hz:g} parts/s, without and with it, in blocks of {seconds:g} s that take turns",
    )
    for name, each in figures.items():
        low, high = each["p99_change"]["interval"]
        table.add_row(
            name,
            " / ".join(str(count) for count in each["parts"].values()),
            " / ".join(str(count) for count in each["missed"].values()),
            " / ".join(f"{value:.2f}" for value in each["p50_ms"]),
            f"{each['p50_change']['change']:+.1%}",
            " / ".join(f"{value:.2f}" for value in each["p99_ms"]),
            f"{each['p99_change']['change']:+.1%} ({low:+.1%} to {high:+.1%})",
            " / ".join(f"{value:.1f}" for value in each["wal_mb"].values()),
            ", ".join(f"{who} {share:.2f}" for who, share in each["cpu"].items()),
        )
    return table


def _log_in(url: str) -> None:
    """One attempt; the page answers it somehow, or not at all."""
    with suppress(OSError):
        urlopen(Request(f"{url}/login", data=b"name=anna&password=wrong"), timeout=5).close()  # noqa: S310 - its own page


def _parent_of_chromium() -> int:
    """The process that started Chromium: Playwright's driver, a child of this one."""
    children = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    return next(pid for pid in pids if "playwright" in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
