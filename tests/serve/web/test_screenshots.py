"""The screenshots of the docs, of a real line: rendered labels, the shipped engine, texts, and Debian's Chromium.

They are made when INSPECTD_SCREENSHOTS names a folder:
  INSPECTD_SCREENSHOTS=docs/line/page pytest tests/serve/web/test_screenshots.py
"""

import csv
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
from playwright.sync_api import Browser, Page

from inspectd.records.journal import Journal, JournalConfig

FOLDER = os.environ.get("INSPECTD_SCREENSHOTS")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="INSPECTD_SCREENSHOTS names no folder")

_ROOT = Path(__file__).parents[3]
_GOOD, _BAD = 380, 30
_RATE_HZ = 5.0
_PASSWORD = "correct horse battery staple"
_DESK = {"viewport": {"width": 1280, "height": 800}}
_PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
_LARGEST = 60_000
_PAGES = {
    "line": "/",
    "review": "/review",
    "part": "/parts/{part}",
    "reports": "/reports",
    "engines": "/engines",
    "setup": "/setup",
}


def _inspectd(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "inspectd", *arguments], **options)


@dataclass(frozen=True)
class Web:
    """The page of one line."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images as on a good day, with their truth: mostly good, in one print job."""
    folder = tmp_path_factory.mktemp("labels")
    render = [
        "render",
        str(folder),
        "--flat",
        "--count",
        "1150",
        "--wrong-text-share",
        "0.04",
        "--jobs",
        "1",
        "--seed",
        "7",
    ]
    subprocess.run(
        [sys.executable, str(_ROOT / "tools" / "synthesize.py"), *render], check=True, stdout=subprocess.DEVNULL
    )
    with (folder / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    good = [row for row in rows if row["class"] == "no_fail"][:_GOOD]
    bad = random.Random(1).sample([row for row in rows if row["class"] != "no_fail"], _BAD)
    chosen = {row["file"] for row in (*good, *bad)}
    with (folder / "truth.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for row in rows if row["file"] in chosen)
    return folder


def _ends_badly(labels: Path, folder: Path) -> Path:
    """Good labels, and then only bad ones."""
    folder.mkdir()
    with (labels / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: row["class"] != "no_fail")
    rows = rows[_GOOD - 120 :]
    with (folder / "truth.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for number, row in enumerate(rows):
            (folder / f"{number:06}.png").symlink_to(labels / row["file"])
            writer.writerow({**row, "file": f"{number:06}.png"})
    return folder


@contextmanager
def _line(labels: Path, folder: Path, **gate: object) -> Iterator[subprocess.Popen[bytes]]:
    """`inspectd demo`: a line that plays the labels once, and is told its texts."""
    config = yaml.safe_load((_ROOT / "config" / "demo.yaml").read_text())
    config["name"] = "printer-3"
    config["engine"] = str(_engine(folder))
    config["text"]["reader"] = str(_ROOT / "engines" / "filter-label-reader")
    config["gate"] |= gate
    config["archive"]["every_nth_pass"] = 20
    config["camera"]["trigger"]["rate_hz"] = _RATE_HZ
    (folder / "demo.yaml").write_text(yaml.safe_dump(config))
    line = _inspectd(
        *("demo", str(labels), "--config", str(folder / "demo.yaml"), "--out", str(folder / "line")),
        stdout=subprocess.DEVNULL,
    )
    try:
        yield line
    finally:
        line.send_signal(signal.SIGINT)
        line.wait(60)


def _engine(folder: Path) -> Path:
    """A link, as a line has it, with another bundle beside it."""
    link = folder / "engines" / "filter-label"
    link.parent.mkdir(parents=True)
    for version in ("2.0.1", "1.9.0"):
        shutil.copytree(_ROOT / "engines" / "filter-label", folder / "engines" / f"filter-label-{version}")
    older = folder / "engines" / "filter-label-1.9.0" / "engine.yaml"
    older.write_text(older.read_text().replace("version: 2.0.1", "version: 1.9.0").replace("2026-11-27", "2026-10-02"))
    link.symlink_to("filter-label-2.0.1")
    return link


@contextmanager
def _web(folder: Path) -> Iterator[Web]:
    state, config, log = folder / "web", folder / "web.yaml", folder / "web.log"
    config.write_text(yaml.safe_dump({"line": str(folder / "line" / "line.yaml"), "state": str(state), "port": 0}))
    state.mkdir(exist_ok=True)
    for role in ("viewer", "engineer"):
        add = _inspectd(
            *("users", "add", f"anna-{role}", "--role", role, "--state", str(state), "--password-stdin"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        add.communicate(_PASSWORD.encode())
        assert add.returncode == 0
    with log.open("wb") as file:
        process = _inspectd("serve", "web", "--config", str(config), stdout=file, stderr=file)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield Web(found[0], process)
    finally:
        process.kill()
        process.wait()


def _open(browser: Browser, web: Web, path: str, role: str = "engineer", **options: Any) -> Page:
    page = browser.new_context(base_url=web.url, **options).new_page()
    page.goto("/login")
    page.get_by_label("Name").fill(f"anna-{role}")
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
    page.goto(path)
    return page


def _shoot(page: Page, name: str) -> None:
    """With as many colours as fit into a small file."""
    assert FOLDER is not None
    page.wait_for_timeout(800)
    target = Path(FOLDER) / f"{name}.webp"
    target.parent.mkdir(parents=True, exist_ok=True)
    raw = target.with_suffix(".png")
    page.screenshot(path=raw)
    image = cv2.imread(str(raw))
    for quality in (75, 60, 50, 40):
        cv2.imwrite(str(target), image, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if target.stat().st_size < _LARGEST:
            break
    raw.unlink()
    assert target.stat().st_size < _LARGEST


def _value(folder: Path, query: str) -> int:
    with closing(sqlite3.connect(f"file:{folder / 'line' / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
        return int(journal.execute(query).fetchone()[0])


def _wait_for_parts(folder: Path, count: int) -> None:
    end_s = time.monotonic() + 120
    while time.monotonic() < end_s:
        with suppress(sqlite3.Error):  # the line has not made its journal yet
            if _value(folder, "SELECT count(*) FROM parts") >= count:
                return
        time.sleep(0.2)
    raise AssertionError("the line has not started")


def test_every_page_of_a_line_that_runs(labels: Path, tmp_path: Path, browser: Browser) -> None:
    with _line(labels, tmp_path):
        _wait_for_parts(tmp_path, 100)
        with _web(tmp_path) as web:
            pages = {
                "line-light": _open(browser, web, "/", color_scheme="light", **_DESK),
                "line-dark": _open(browser, web, "/", color_scheme="dark", **_DESK),
                "line-phone": _open(browser, web, "/", color_scheme="light", **_PHONE),
            }
            _wait_for_parts(tmp_path, 150)
            for name, page in pages.items():
                _shoot(page, name)
            part = _value(
                tmp_path, "SELECT id FROM parts WHERE verdict = 'fault' ORDER BY reason IS NULL, id DESC LIMIT 1"
            )
            for name, path in _PAGES.items():
                if name == "line":
                    continue
                for theme, options in {"light": _DESK, "dark": _DESK, "phone": _PHONE}.items():
                    scheme = "dark" if theme == "dark" else "light"
                    page = _open(browser, web, path.format(part=part), color_scheme=scheme, **options)
                    _shoot(page, f"{name}-{theme}")
            _shoot(_open(browser, web, "/engines", "viewer", color_scheme="light", **_DESK), "engines-viewer")
            _shoot(_open(browser, web, "/review", "viewer", color_scheme="light", **_DESK), "no-rights")
            login = browser.new_context(base_url=web.url, **_DESK).new_page()
            login.goto("/login")
            _shoot(login, "login")
            behind = pages["line-light"]
            web.process.send_signal(signal.SIGSTOP)
            behind.wait_for_timeout(5000)
            _shoot(behind, "behind")
            web.process.send_signal(signal.SIGCONT)


def test_a_line_whose_belt_has_stopped(labels: Path, tmp_path: Path, browser: Browser) -> None:
    with _line(_ends_badly(labels, tmp_path / "labels"), tmp_path, stop_after_rejects=10):
        _wait_for_parts(tmp_path, 50)
        with _web(tmp_path) as web:
            light = _open(browser, web, "/", color_scheme="light", **_DESK)
            phone = _open(browser, web, "/", color_scheme="dark", **_PHONE)
            light.get_by_role("button", name="Acknowledge").wait_for(timeout=60_000)
            _shoot(light, "stopped")
            _shoot(phone, "stopped-phone")


def test_a_line_that_has_judged_no_label_yet(labels: Path, tmp_path: Path, browser: Browser) -> None:
    with _line(labels, tmp_path):
        _wait_for_parts(tmp_path, 1)
    (tmp_path / "line" / "journal.sqlite").unlink()
    Journal.open(JournalConfig(path=tmp_path / "line" / "journal.sqlite")).close()
    with _web(tmp_path) as web:
        for name in ("line", "review", "reports", "engines"):
            _shoot(_open(browser, web, _PAGES[name], color_scheme="light", **_DESK), f"{name}-empty")
