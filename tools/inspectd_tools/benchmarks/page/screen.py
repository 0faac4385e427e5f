"""How long after its verdict a reject is on the screen of a real browser."""

import time
from contextlib import closing
from typing import Any

import numpy as np
from playwright.sync_api import Page
from rich.table import Table

from inspectd.records.reading import open_for_reading
from inspectd.terminal import console, track
from inspectd_tools.benchmarks.daemon import Bench
from inspectd_tools.benchmarks.page.browser import chromium, clock_offset_ns
from inspectd_tools.benchmarks.page.processes import Usage, Web, line

_WATCH = """
() => {
  window.seen = {};
  const list = document.querySelector("#rejects");
  const note = () => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {  // the frame with the new line was made
      const now = performance.now();
      for (const each of list.querySelectorAll("[data-part]")) window.seen[each.dataset.part] ??= now;
    };
    channel.port2.postMessage(0);
  });
  for (const each of list.querySelectorAll("[data-part]")) window.seen[each.dataset.part] = 0;
  new MutationObserver(note).observe(list, { childList: true, subtree: true });
}
"""
_REJECTS = "SELECT id, t_mono_ns + verdict_us * 1000 AS t_verdict_ns FROM parts WHERE verdict != 'pass'"


def measure_screen(bench: Bench, rate_hz: float, rejects: int) -> dict[str, Any]:
    """Run a line until a page has shown `rejects` rejects."""
    with (
        line(bench, rate_hz) as (_, folder),
        Web(folder / "line.yaml", folder / "web") as web,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(web.url, wait_until="load")
        page.wait_for_selector("#rejects [data-part]")
        before = clock_offset_ns(page)
        page.evaluate(_WATCH)
        began_s, usage = time.monotonic(), Usage.of(web.pid)
        shown = _wait_for(page, rejects, rate_hz)
        took_s = time.monotonic() - began_s
        web_cpu = (Usage.of(web.pid).cpu_s - usage.cpu_s) / took_s
        after = clock_offset_ns(page)
    with closing(open_for_reading(folder / "journal.sqlite")) as journal:
        verdicts = {row["id"]: row["t_verdict_ns"] for row in journal.execute(_REJECTS)}
        missed = journal.execute("SELECT count(*) FROM parts WHERE verdict = 'missed'").fetchone()[0]
    error_ns = before[1] + after[1] + abs(before[0] - after[0])
    took_ms = np.array([(at_ms * 1e6 + before[0] - verdicts[int(part)]) / 1e6 for part, at_ms in shown.items()])
    never = _never_shown(shown, verdicts)
    p50, p99, longest = (float(value) for value in np.percentile(took_ms, (50, 99, 100)))
    figures = {
        "rejects": len(took_ms),
        "never_shown": never,
        "ms": {"p50": p50, "p99": p99, "max": longest},
        "clock_error_ms": error_ns / 1e6,
        "web_cpu_share_of_a_core": web_cpu,
        "missed": missed,
    }
    table = Table(
        "rejects", "p50 ms", "p99 ms", "max ms", "never shown", title=f"verdict to screen at {rate_hz:g} parts/s"
    )
    table.add_row(str(len(took_ms)), f"{p50:.0f}", f"{p99:.0f}", f"{longest:.0f}", str(never))
    table.caption = f"the clocks differ by at most {error_ns / 1e6:.1f} ms; the page's process took {web_cpu:.0%} of a core; missed: {missed}"
    console().print(table)
    return figures


def _wait_for(page: Page, rejects: int, rate_hz: float) -> dict[str, float]:
    """Part -> when it was shown, in ms of the browser's clock; without what was there before."""
    shown: dict[str, float] = {}
    for _ in track(range(round(rejects / rate_hz * 60)), "screen"):
        page.wait_for_timeout(1000)
        shown = {part: at for part, at in page.evaluate("window.seen").items() if at > 0}
        if len(shown) >= rejects:
            break
    return shown


def _never_shown(shown: dict[str, float], verdicts: dict[int, int]) -> int:
    """Rejects between the first and the last that was shown, which the page never had."""
    parts = sorted(map(int, shown))
    return sum(parts[0] < part < parts[-1] for part in verdicts) - len(parts) + 2 if len(parts) > 1 else 0
