"""A new engine for all lines: how long until all use it, what was missed meanwhile, and what two lines say that must refuse it."""

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from rich.table import Table

from inspectd.camera.image_files import read_photo
from inspectd.fleet.repository import Repository, create
from inspectd.inference import load_bundle
from inspectd.inference.bundle import write_manifest
from inspectd.inference.preprocess import to_grey
from inspectd.inference.signature import write_keys
from inspectd.terminal import console, track
from inspectd_tools.benchmarks.fleet.lines import DELAY_MS, Line, cost, signed_copy, wait_until
from inspectd_tools.benchmarks.fleet.servers import Broker, scraped_parts, web_server
from inspectd_tools.synthetic.render.dataset import mixed_stream, write

_IMAGES = 60
_WRONG_KEY, _ALTERED = 7, 13
"""The line that trusts another key, and the line whose web server alters a file."""
_START_S, _PULL_S, _LAST_S = 180, 300, 60


@dataclass(frozen=True, slots=True)
class Plan:
    lines: int
    rate_hz: float
    before_s: float
    """How long all lines run with the first engine."""
    spread_s: float
    """The pulls begin at random within this time: RandomizedDelaySec of the timer."""
    bridges: bool
    seed: int


def measure(plan: Plan, engine: Path, folder: Path) -> dict[str, Any]:
    with ExitStack() as stack:
        images = _render(folder / "images")
        first, new = _engines(engine, folder)
        repository = _publish(folder, first)
        good = stack.enter_context(web_server(folder / "repository"))
        altered = stack.enter_context(web_server(folder / "repository", altered=True))
        broker = Broker(folder) if plan.bridges else None
        if broker is not None:
            stack.callback(broker.close)
        lines = []
        for number in range(1, plan.lines + 1):
            own = "other" if number == _WRONG_KEY else "good"
            line = Line(folder, number, folder / f"{own}.pub", altered if number == _ALTERED else good)
            root = folder / "keys" / "root.json"
            line.write(folder / f"first-{own}", images, plan.rate_hz, root, None if broker is None else broker.port)
            stack.callback(_end, line)
            lines.append(line)
        figures = _run(plan, lines, folder, new, repository, broker)
    _print(figures, plan)
    return figures


def _run(
    plan: Plan, lines: Sequence[Line], folder: Path, new: Path, repository: Repository, broker: Broker | None
) -> dict[str, Any]:
    if broker is not None:
        for line in track(lines, "start the bridges"):
            line.start_bridges()
        wait_until(lambda: all(line.bridges_are_up() for line in lines), _START_S, "metrics and MQTT of all lines")
    for line in track(lines, "start the lines"):
        line.start()
        time.sleep(1)
    wait_until(lambda: all(line.parts() >= 2 for line in lines), _START_S, "the first parts of all lines")
    daemons = [line.processes[-1].pid for line in lines]
    bridges = [process.pid for line in lines for process in line.processes[:-1]]
    begin_s = time.time()
    at_rest = cost(daemons)
    rest_of_bridges = cost(bridges)
    time.sleep(plan.before_s)
    rested, bridged = cost(daemons), cost(bridges)
    quiet_s = time.time() - begin_s

    name = repository.publish(new).name
    repository.put_assignments(repository.assignments.assign("engine", name, ()))
    repository.commit("targets")
    assigned_s = time.time()
    _pull(lines, plan)
    hash_ = load_bundle(new).hash
    expected = [line for line in lines if line.number not in (_WRONG_KEY, _ALTERED)]
    wait_until(lambda: all(line.first_part_with(hash_) for line in expected), 60, "the new engine on all lines")
    pulled, pulled_s = cost(daemons), time.time()
    time.sleep(5)

    for line in lines:
        line.processes[-1].terminate()
    codes = [line.processes[-1].wait(timeout=60) for line in lines]
    parts = {line.name: line.parts() for line in lines}
    return {
        "lines": len(lines),
        "exit_codes": codes,
        "rate_hz": plan.rate_hz,
        "until_all_s": max(first for line in expected if (first := line.first_part_with(hash_))) - assigned_s,
        "parts": sum(parts.values()),
        "missed": dict(sum((line.missed() for line in lines), Counter())),
        "slowest_ms": max(line.slowest_ms() for line in lines),
        "at_rest": {"mb": rested.mb, "processes": rested.processes, "cores": (rested.cpu_s - at_rest.cpu_s) / quiet_s},
        "meanwhile": {"mb": pulled.mb, "cores": (pulled.cpu_s - rested.cpu_s) / (pulled_s - assigned_s)},
        "refused": {
            line.name: {"said": _last(line)["said"], "uses_old_only": hash_ not in line.engine_hashes()}
            for line in lines
            if line not in expected
        },
        "outcomes": dict(Counter(_last(line)["outcome"] for line in lines)),
        "bridges": None if broker is None else {
            "mb": bridged.mb,
            "cores": (bridged.cpu_s - rest_of_bridges.cpu_s) / quiet_s,
            **_received(lines, parts, broker),
        },
    }  # fmt: skip


def _pull(lines: Sequence[Line], plan: Plan) -> None:
    """Each line once, at a random time, as the timer would. Raises SystemExit."""
    delays = random.Random(plan.seed)
    due = sorted((delays.uniform(0, plan.spread_s), line.number) for line in lines)
    by_number = {line.number: line for line in lines}
    begin_s, pulls = time.monotonic(), []
    for after_s, number in track(due, "pull"):
        time.sleep(max(0.0, begin_s + after_s - time.monotonic()))
        pulls.append(by_number[number].begin_pull())
    wait_until(lambda: all(pull.poll() is not None for pull in pulls), _PULL_S, "all pulls")


def _received(lines: Sequence[Line], parts: dict[str, int], broker: Broker) -> dict[str, Any]:
    """What came by MQTT and by metrics, up to a minute after all lines have ended."""
    end_s = time.monotonic() + _LAST_S
    while time.monotonic() < end_s:
        came = {name: len(broker.parts.get(name, ())) for name in parts}
        scraped = {line.name: scraped_parts(line.port) for line in lines}
        if came == scraped == parts:
            break
        time.sleep(1)
    return {"messages": broker.messages, "parts_by_mqtt": sum(came.values()), "parts_in_metrics": sum(scraped.values())}


def _render(folder: Path) -> Path:
    orders = mixed_stream(_IMAGES, 0.05, seed=99)
    for order in track(write(orders, folder, masks=False, workers=os.cpu_count() or 1), "render", len(orders)):
        png = folder / order.file
        cv2.imwrite(str(png.with_suffix(".bmp")), to_grey(read_photo(png)))
        png.unlink()
    return folder


def _engines(engine: Path, folder: Path) -> tuple[Path, Path]:
    """The first engine, and the same network as a new version, both signed. One line trusts another key."""
    for name in ("good", "other"):
        write_keys(folder / f"{name}.key", folder / f"{name}.pub")
    first = signed_copy(engine, folder / "first-good", folder / "good.key")
    signed_copy(engine, folder / "first-other", folder / "other.key")
    unsigned = shutil.copytree(engine, folder / "unsigned")
    manifest = load_bundle(unsigned).manifest
    major, minor, patch = manifest.version.split(".")
    write_manifest(unsigned, manifest.model_copy(update={"version": f"{major}.{minor}.{int(patch) + 1}"}))
    return first, signed_copy(unsigned, folder / "new", folder / "good.key")


def _publish(folder: Path, first: Path) -> Repository:
    create(folder / "repository", folder / "keys", {"root": 3650, "targets": 365, "timestamp": 14})
    repository = Repository.open(folder / "repository", [folder / "keys"])
    repository.put_assignments(repository.assignments.assign("engine", repository.publish(first).name, ()))
    repository.commit("targets")
    return repository


def _last(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((line.home / "pull" / "last.json").read_text())
    return found


def _end(line: Line) -> None:
    for process in line.processes:
        if process.poll() is None:
            process.terminate()
    for process in line.processes:
        process.wait(timeout=60)


def _print(figures: dict[str, Any], plan: Plan) -> None:
    table = Table("what", "figure", title=f"{plan.lines} lines at {plan.rate_hz:g} parts/s, a new engine for all")
    rest, meanwhile = figures["at_rest"], figures["meanwhile"]
    rows = [
        (
            f"from assigned to used by all that may, pulls spread over {plan.spread_s:g} s",
            f"{figures['until_all_s']:.0f} s",
        ),
        ("labels inspected", str(figures["parts"])),
        ("missed", str(figures["missed"] or 0)),
        (f"slowest verdict (the gate acts after {DELAY_MS} ms)", f"{figures['slowest_ms']:.0f} ms"),
        ("ends of the pulls", str(figures["outcomes"])),
        (f"memory of all lines ({rest['processes']} processes)", f"{rest['mb']:.0f} MB"),
        ("processor of all lines, in cores", f"{rest['cores']:.2f}; while engines change {meanwhile['cores']:.2f}"),
    ]
    if figures["bridges"] is not None:
        bridges = figures["bridges"]
        rows += [
            ("memory and processor of metrics and MQTT", f"{bridges['mb']:.0f} MB, {bridges['cores']:.2f} cores"),
            ("labels at the broker, of messages", f"{bridges['parts_by_mqtt']}, {bridges['messages']}"),
            ("labels in all metrics", str(bridges["parts_in_metrics"])),
        ]
    for row in rows:
        table.add_row(*row)
    screen = console()
    screen.print(table)
    for name, refused in figures["refused"].items():
        goes_on = "goes on with the old engine" if refused["uses_old_only"] else "USES THE NEW ENGINE"
        screen.print(f"{name} {goes_on}: {refused['said']}")
