"""Pages in Debian's Chromium, and the browser's clock as the line's clock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def clock_offset_ns(page: Page, tries: int = 50) -> tuple[int, int]:
    """CLOCK_MONOTONIC minus `performance.now()`, and how wrong this can be, both in ns.

    Cristian's algorithm: of several questions, the one that was answered soonest.
    """
    best = (0, 1 << 62)
    for _ in range(tries):
        begin_ns = time.monotonic_ns()
        now_ms = page.evaluate("performance.now()")
        took_ns = time.monotonic_ns() - begin_ns
        if took_ns // 2 < best[1]:
            best = (begin_ns + took_ns // 2 - round(now_ms * 1e6), took_ns // 2)
    return best
