"""How soon every page answers, and how smoothly Review scrolls, over a journal with many rejects."""

import http.client
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
from rich.table import Table

from inspectd.terminal import console, track
from inspectd_tools.benchmarks.daemon import Bench
from inspectd_tools.benchmarks.page.browser import chromium
from inspectd_tools.benchmarks.page.processes import Web, line

_USER, _PASSWORD = "engineer", "only for this benchmark"
_WITH_IMAGES = 2000
"""The newest rejects, whose images exist; they are the ones that Review shows first."""
_SCROLL = """
async () => {
  const strip = document.querySelector("#strip") ?? document.scrollingElement;
  const frames = [];
  let last = performance.now();
  for (let frame = 0; frame < 300; frame++) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    strip.scrollBy(40, 40);
  }
  return frames.slice(2);
}
"""


def measure_large(bench: Bench, journal: Path, rate_hz: float, requests: int) -> dict[str, Any]:
    """Over a copy of `journal`, to which a line adds parts at `rate_hz` meanwhile."""
    copy = bench.folder / "large.sqlite"
    shutil.copy(journal, copy)
    parts, rejects, newest = _with_images(copy, bench.photos[0], bench.folder / "archive")
    with line(bench, rate_hz, copy) as (_, folder):
        state = folder / "web"
        _add_user(state)
        with Web(folder / "line.yaml", state) as web:
            answers = {path: _times_ms(web.url, path, requests) for path in track(_paths(newest), "pages")}
            frames = _scroll(web.url)
    figures = {
        "parts": parts,
        "rejects": rejects,
        "answer_ms": {path: _percentiles(times) for path, times in answers.items()},
        "frame_ms": _percentiles(frames) | {"share_above_34_ms": float(np.mean(np.array(frames) > 34))},
    }
    console().print(_table(figures))
    return figures


def _with_images(journal: Path, photo: Path, archive: Path) -> tuple[int, int, int]:
    """Let the newest rejects have images. Returns the number of parts, of rejects, and the newest reject."""
    with closing(sqlite3.connect(journal)) as connection:
        (parts,) = connection.execute("SELECT count(*) FROM parts").fetchone()
        rejected = "FROM parts WHERE verdict IN ('fault', 'uncertain')"
        (rejects,) = connection.execute(f"SELECT count(*) {rejected}").fetchone()
        found = connection.execute(f"SELECT id {rejected} ORDER BY id DESC LIMIT ?", (_WITH_IMAGES,)).fetchall()
        folder = archive / time.strftime("%Y-%m-%d")
        folder.mkdir(parents=True)
        for (part,) in found:
            path = folder / f"{part:09d}_fault.png"
            os.link(photo, path) if photo.suffix == ".png" else shutil.copy(photo, path)
            connection.execute("UPDATE parts SET image = ? WHERE id = ?", (str(path), part))
        connection.commit()
    return parts, rejects, found[0][0]


def _add_user(state: Path) -> None:
    state.mkdir(parents=True)
    command = [sys.executable, "-m", "inspectd", "users", "add", _USER, "--role", "engineer", "--state", str(state)]
    subprocess.run([*command, "--password-stdin"], input=_PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL)


def _paths(part: int) -> list[str]:
    return [
        "/",
        "/review",
        "/review/cards",
        f"/parts/{part}",
        f"/images/{part}",
        "/reports",
        "/engines",
        "/engines/history",
        "/setup",
        "/setup/config",
    ]


def _times_ms(url: str, path: str, requests: int) -> list[float]:
    with _logged_in(url) as (connection, cookie):
        times = []
        for _ in range(requests):
            begin_ns = time.perf_counter_ns()
            connection.request("GET", path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            times.append((time.perf_counter_ns() - begin_ns) / 1e6)
            if answer.status != 200:
                raise SystemExit(f"{path}: answered {answer.status}")
    return times


@contextmanager
def _logged_in(url: str) -> Iterator[tuple[http.client.HTTPConnection, str]]:
    """A connection, and the cookies of a user."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", "/login")
    form = connection.getresponse()
    found = re.search(r'name="csrf" value="(\w+)"', form.read().decode())
    cookies = _cookies(form)
    fields = {"name": _USER, "password": _PASSWORD, "csrf": found[1] if found else ""}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookies}
    connection.request("POST", "/login", urlencode(fields), headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 303:
        raise SystemExit(f"/login: answered {answer.status}")
    yield connection, _cookies(answer) or cookies
    connection.close()


def _cookies(answer: http.client.HTTPResponse) -> str:
    return "; ".join(value.partition(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie")


def _scroll(url: str) -> list[float]:
    """Times between the frames of a browser, in ms, while Review scrolls."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{url}/login")
        page.get_by_label("Name").fill(_USER)
        page.get_by_label("Password").fill(_PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{url}/review", wait_until="networkidle")
        found: list[float] = page.evaluate(_SCROLL)
    return found


def _percentiles(times_ms: list[float]) -> dict[str, float]:
    return dict(zip(("p50", "p95", "max"), map(float, np.percentile(times_ms, (50, 95, 100))), strict=True))


def _table(figures: dict[str, Any]) -> Table:
    table = Table("ms", "p50", "p95", "max", title=f"{figures['parts']} parts, {figures['rejects']} rejects")
    for path, times in (*figures["answer_ms"].items(), ("frame of Review while it scrolls", figures["frame_ms"])):
        table.add_row(path, *(f"{times[name]:.1f}" for name in ("p50", "p95", "max")))
    return table
