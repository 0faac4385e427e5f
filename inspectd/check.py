"""`inspectd check`: looks at everything a line needs, one row each, with a fix for what fails.

Camera and output have one owner at a time: beside a running line they are not checked.
"""

import os
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from inspectd.camera import Camera
from inspectd.config import Config, load_config
from inspectd.errors import CameraError, ConfigError, EngineError, InUseError, OutputError
from inspectd.inference import Engine, load_bundle, load_engine
from inspectd.time_budget import least_budget, measure_image_ms, measure_record_ms

_MARKS = {True: "[green]ok", False: "[red]FAIL", None: "[yellow]warn"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok` None: works, but the engineer should know."""

    what: str
    ok: bool | None
    detail: str
    fix: str = ""


def run(path: Path) -> int:
    """Print the table; exit code 0 if nothing failed, 1 otherwise. Raises ConfigError if the config can't be used."""
    config = load_config(path)
    table = Table("what", "", "found", "fix", title=f"{config.name}: {path}")
    failed = False
    for finding in _findings(config):
        table.add_row(finding.what, _MARKS[finding.ok], finding.detail, finding.fix)
        failed |= finding.ok is False
    Console().print(table)
    return int(failed)


def _findings(config: Config) -> Iterator[Finding]:
    yield Finding("config", True, "every key known, every value allowed")
    engine = _load_engine(config)
    yield engine if isinstance(engine, Finding) else _engine(config, engine)
    camera = config.camera.create()
    try:
        found = _camera(camera)
        yield found
        if isinstance(engine, Engine) and found.ok is not False:
            yield _time_budget(config, engine, camera if found.ok else None)
        yield from _output(config, camera)
    finally:
        camera.close()
    yield _real_time(config)
    yield _disk("journal", config.journal.path.parent, config.journal.max_mb / 1000)
    if config.archive is not None:
        yield _disk("archive", config.archive.folder, config.archive.max_gb)
    yield _clock()


def _load_engine(config: Config) -> Engine | Finding:
    try:
        return load_engine(load_bundle(config.engine), config.inference)
    except (ConfigError, EngineError) as error:
        return Finding(
            "engine",
            False,
            str(error),
            "build or copy the bundle again, or go back: `inspectd engines --help`",
        )


def _engine(config: Config, engine: Engine) -> Finding:
    manifest = engine.manifest
    checked = "hashes" if config.inference.signed_by is None else "signature, hashes"
    return Finding(
        "engine",
        True,
        f"{manifest.name} {manifest.version} on {engine.backend_name}: {checked} and {len(manifest.golden)} golden images agree, "
        f"{engine.service_ms:.1f} ms a label",
    )


def _camera(camera: Camera) -> Finding:
    try:
        camera.open()
    except InUseError as error:
        return Finding("camera", None, f"{error}: not checked", "stop the line to check it: systemctl stop inspectd")
    except CameraError as error:
        return Finding(
            "camera",
            False,
            str(error),
            "is it powered, on this network or USB port, and is the service stopped?",
        )
    return Finding("camera", True, "every setting applied and read back, one image delivered")


def _time_budget(config: Config, engine: Engine, camera: Camera | None) -> Finding:
    """`camera`: open, or None if it can't be asked."""
    budget = least_budget(config, engine)
    notes = []
    try:
        image_ms = None if camera is None else measure_image_ms(camera)
    except CameraError as error:
        return Finding("time budget", False, str(error), "the camera delivered at first: look at its cable and power")
    if image_ms is None:
        notes.append("no label came by: the image's time is what the config says of the exposure")
    else:
        budget = replace(budget, image_ms=max(budget.image_ms, image_ms))
    try:
        budget = replace(budget, record_ms=measure_record_ms(config.journal))
    except (OSError, sqlite3.Error):
        notes.append("the time to record was not measured")
    detail = budget.refusal or budget.warning or str(budget)
    ok = False if budget.refusal else None if budget.warning else True
    return Finding("time budget", ok, "; ".join([detail, *notes]))


def _output(config: Config, camera: Camera) -> Iterator[Finding]:
    output = config.gate.output.create(camera)
    try:
        output.open()
    except OutputError as error:
        yield Finding("output", False, str(error), "check address, wiring and rights; is the service stopped?")
        return
    try:
        yield Finding("output", True, f"{config.gate.output.kind}: reachable, safe state written and read back")
        for warning in output.warnings():
            yield Finding("output", None, warning)
    finally:
        output.close()


def _real_time(config: Config) -> Finding:
    wanted = config.gate.realtime_priority
    if wanted == 0:
        return Finding(
            "real time",
            None,
            "switched off: pulses may be tens of ms late under load",
            "set gate.realtime_priority: 50",
        )
    allowed, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if os.geteuid() == 0 or allowed == resource.RLIM_INFINITY or allowed >= wanted:
        return Finding("real time", True, f"the gate may run at SCHED_FIFO {wanted}")
    return Finding(
        "real time",
        False,
        f"SCHED_FIFO {wanted} wanted, the limit is {allowed}: pulses may be tens of ms late under load",
        "run it from the systemd unit (LimitRTPRIO=), or raise rtprio in /etc/security/limits.conf",
    )


def _disk(what: str, folder: Path, wanted_gb: float) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if not os.access(existing, os.W_OK):
        return Finding(
            what,
            False,
            f"{folder} can't be written by this user",
            f"chown it, or set {what}'s folder elsewhere",
        )
    if free_gb < wanted_gb:
        return Finding(
            what,
            False,
            f"{free_gb:.1f} GB free, {wanted_gb:.1f} GB may be used",
            "free some space or lower the limit in the config",
        )
    return Finding(what, True, f"{folder}: {free_gb:.0f} GB free of {wanted_gb:.1f} GB that may be used")


def _clock() -> Finding:
    fix = "enable time synchronisation: timedatectl set-ntp true"
    timedatectl = shutil.which("timedatectl")
    if timedatectl is None:
        return Finding("clock", None, f"{time.strftime('%F %T %Z')}; whether it is synchronised can't be told", fix)
    answer = subprocess.run(
        [timedatectl, "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    ).stdout.strip()
    if answer == "yes":
        return Finding("clock", True, f"{time.strftime('%F %T %Z')}, synchronised")
    return Finding("clock", None, f"{time.strftime('%F %T %Z')}, not synchronised: records may bear wrong times", fix)
