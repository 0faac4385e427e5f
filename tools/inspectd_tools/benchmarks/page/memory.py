"""Memory of the page's process while ten pages are open and labels come."""

import time
from typing import Any

import numpy as np
from rich.table import Table

from inspectd.terminal import console, track
from inspectd_tools.benchmarks.daemon import Bench, rss_mb
from inspectd_tools.benchmarks.page.processes import Web, line, readers

_PAGES = 10
_EVERY_S = 15.0


def measure_memory(bench: Bench, rate_hz: float, minutes: float) -> dict[str, Any]:
    """Resident memory in MB, and its slope over the second half."""
    with (
        line(bench, rate_hz) as (_, folder),
        Web(folder / "line.yaml", folder / "web") as web,
        readers(web.url, _PAGES),
    ):
        samples = []
        begin_s = time.monotonic()
        for _ in track(range(max(2, round(minutes * 60 / _EVERY_S))), "memory"):
            time.sleep(_EVERY_S)
            samples.append(((time.monotonic() - begin_s) / 60, rss_mb(web.pid)))
    later = np.array(samples[len(samples) // 2 :])
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0] * 60) if len(later) > 1 else float("nan")
    megabytes = [mb for _, mb in samples]
    table = Table(
        "minutes",
        "first MB",
        "last MB",
        "most MB",
        "slope of the second half, MB/h",
        title="memory of the page, 10 pages open",
    )
    table.add_row(
        f"{minutes:g}", f"{megabytes[0]:.1f}", f"{megabytes[-1]:.1f}", f"{max(megabytes):.1f}", f"{slope:+.2f}"
    )
    console().print(table)
    return {"samples": samples, "slope_mb_per_h": slope}
