"""The loop of an operator's page on real photos: a line judges them, people decide by keys, learn, and activate by keys.

The photos and the first engine are those of `learning`. A real line plays the stream; a real browser shows it. No mouse is used.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page
from rich.table import Table

from inspectd.files.yaml_file import dump_yaml
from inspectd.inference.bundle import load_bundle
from inspectd.learning.network import OpenNetwork
from inspectd.terminal import folding_table, track
from inspectd_tools.benchmarks.learning import Line, Plan, begin, plain
from inspectd_tools.benchmarks.page.browser import chromium
from inspectd_tools.benchmarks.page.processes import Web, newest_part

_PASSWORD: Final = "ten keys for ten labels"  # noqa: S105
_PEOPLE: Final = {"ann": "engineer", "bob": "operator"}
_RATE_HZ: Final = 8
_JOB_S: Final = 600.0
_MOST_TABS: Final = 80


def measure(plan: Plan, folder: Path) -> tuple[list[Table], dict[str, Any]]:
    """`folder`: for all that is written. Raises ConfigError, EngineError, and SystemExit if the line or the page does not answer."""
    line = begin(plan, folder)
    (folder / "engine").symlink_to("first")
    (folder / "stream").mkdir()
    for number, path in enumerate(line.paths):
        (folder / "stream" / f"{number:05}{path.suffix}").symlink_to(path.resolve())
    with _daemon(folder, forever=False, rate_hz=_RATE_HZ) as daemon:
        daemon.wait(timeout=60 + 2 * len(line.paths) / _RATE_HZ)
    before = line.errors(line.network.head, line.bundle.manifest.threshold.value)
    state = folder / "page"
    for name, role in _PEOPLE.items():
        _add_user(state, name, role)
    steps: list[dict[str, Any]] = []
    with ExitStack() as stack:
        stack.enter_context(_daemon(folder, forever=True, rate_hz=0.01))
        web = stack.enter_context(Web(folder / "line.yaml", state, audit_share=1 / plan.audit))
        browser = stack.enter_context(chromium())
        pages = {name: browser.new_context().new_page() for name in _PEOPLE}
        for name, page in pages.items():
            _log_in(page, web.url, name)
        for count in plan.decisions:
            step = _step(pages, web.url, line, count - sum(step["more"] for step in steps))
            step["decisions"] = count
            steps.append(step)
            if step["active"] is not None:
                bundle = load_bundle((folder / "engine").resolve())
                step["after"] = plain(line.errors(OpenNetwork(bundle).head, bundle.manifest.threshold.value))
                break
    return [_table(plain(before), steps)], {"before": plain(before), "steps": steps}


@contextmanager
def _daemon(folder: Path, *, forever: bool, rate_hz: float) -> Iterator[subprocess.Popen[bytes]]:
    """The line, from its first part on."""
    config = {
        "engine": str(folder / "engine"),
        "camera": {
            "kind": "replay",
            "source": str(folder / "stream"),
            "rate_hz": rate_hz,
            "forever": forever,
            "max_age_ms": 2000,
        },
        "inference": {"threads": 1},
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 3000,
            "width_ms": 30,
            "max_lateness_ms": 1000,
            "realtime_priority": 0,
            "output": {"kind": "simulated", "record": str(folder / "output.jsonl")},
        },
        "journal": {"path": str(folder / "journal.sqlite")},
        "archive": {"folder": str(folder / "archive"), "every_nth_pass": 1, "max_gb": 1},
        "control": {"socket": str(folder / "control.sock")},
    }
    (folder / "line.yaml").write_text(dump_yaml(config))
    parts, end_s = newest_part(folder / "journal.sqlite"), time.monotonic() + 60
    with (folder / "daemon.log").open("ab") as log:
        command = [sys.executable, "-m", "inspectd", "run", "--config", str(folder / "line.yaml")]
        daemon = subprocess.Popen(command, stderr=log)
    try:
        while newest_part(folder / "journal.sqlite") == parts:
            if time.monotonic() > end_s or daemon.poll() is not None:
                raise SystemExit(f"the line did not start: {(folder / 'daemon.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield daemon
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=60)


def _add_user(state: Path, name: str, role: str) -> None:
    state.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "inspectd", "users", "add", name, "--role", role, "--state", str(state)]
    subprocess.run([*command, "--password-stdin"], input=_PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL)


def _log_in(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/login")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(_PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")


def _step(pages: dict[str, Page], url: str, line: Line, more: int) -> dict[str, Any]:
    """Ann decides on `more` labels, and learns. Bob looks at the labels that are asked for. Ann learns again, and activates."""
    begin_s = time.monotonic()
    _decide(pages["ann"], url, line, more, None)
    decided_s = time.monotonic()
    learned, second = _learn(pages["ann"], url), 0
    while not learned["accepted"] and learned["doubtful"]:
        second += _decide(pages["bob"], url, line, None, set(learned["doubtful"]))
        decided_s = time.monotonic()
        again = _learn(pages["ann"], url)
        if again["doubtful"] == learned["doubtful"]:
            break
        learned = again
    active = _activate(pages["ann"]) if learned["accepted"] else None
    return {
        "more": more,
        "second_looks": second,
        "deciding_s": round(decided_s - begin_s, 1),
        "accepted": learned["accepted"],
        "reasons": learned["reasons"],
        "active": active,
        "minutes_to_active": round((time.monotonic() - decided_s) / 60, 2),
    }


def _decide(page: Page, url: str, line: Line, most: int | None, only: set[int] | None) -> int:
    """By keys, from the newest label on. `only`: the others are skipped. The number of decisions."""
    page.goto(f"{url}/review")
    page.wait_for_selector("#photo img")
    keys = dict(
        page.evaluate(
            "() => [...document.querySelectorAll('.choice')].map((each) => [each.dataset.says, each.dataset.key])"
        )
    )
    truths, decided, last = line.truth_of_stream(), 0, None
    wanted = most if only is None else len(only)
    assert wanted is not None
    for _ in track(range(wanted if only is None else len(truths) + 1), "decide"):
        card = page.locator(".strip-card[aria-current]")
        part = int(re.findall(r"\d+", card.get_attribute("aria-label") or "")[0]) if card.count() else None
        if decided == wanted or part is None or part == last:
            break
        last = part
        if only is not None and part not in only:
            page.keyboard.press("ArrowRight")
            continue
        page.keyboard.press(keys[truths[(part - 1) % len(truths)]])
        decided += 1
    page.wait_for_function("() => !document.querySelector('#review').hasAttribute('aria-busy')")
    return decided


def _learn(page: Page, url: str) -> dict[str, Any]:
    page.goto(f"{url}/engines")
    _press(page, "Learn")
    panel = _ended(page)
    reasons = panel.locator("ul").first.locator("li").all_inner_texts()
    accepted = "A new engine was learned" in panel.inner_text()
    asked = next((reason for reason in reasons if "should review these parts" in reason), "")
    parts = [int(number) for number in re.findall(r"\d+", asked.partition("these parts: ")[2].partition(" and ")[0])]
    return {"accepted": accepted, "reasons": [] if accepted else reasons, "doubtful": parts}


def _activate(page: Page) -> str:
    """What the page says."""
    _press(page, "Look at it, then activate it")
    page.wait_for_url(re.compile("/engines/.+"))
    _press(page, "Activate")
    return _ended(page).locator("h2").first.inner_text()


def _press(page: Page, words: str) -> None:
    """Tab until the button or link with these words has the focus, and press it."""
    page.evaluate("() => document.activeElement.blur()")
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.innerText || ''").startswith(words):
            page.keyboard.press("Enter")
            return
    raise SystemExit(f"no button {words!r} is reached with the Tab key on {page.url}")


def _ended(page: Page) -> Any:
    """The panel of the newest job, once it has ended."""
    page.wait_for_selector("#jobs:not([hx-trigger]) section", timeout=_JOB_S * 1000)
    return page.locator("#jobs section").first


def _table(before: dict[str, Any], steps: Sequence[dict[str, Any]]) -> Table:
    table = folding_table(
        "decisions",
        "second\nlooks",
        "deciding s",
        "new engine",
        "faulty and unknown pass",
        "good rejected",
        "min to active",
        caption=f"{os.cpu_count()} cores; errors on test photos of other parts",
    )

    def errors(cells: dict[str, Any] | None) -> list[str]:
        return [f"{cell['errors']} of {cell['n']}" for cell in cells.values()] if cells else ["-", "-"]

    table.add_row("0", "", "", "", *errors(before), "")
    for step in steps:
        said = step["active"] or "refused"
        minutes = str(step["minutes_to_active"]) if step["active"] else "-"
        table.add_row(
            str(step["decisions"]),
            str(step["second_looks"]),
            str(step["deciding_s"]),
            said,
            *errors(step.get("after")),
            minutes,
        )
    return table
