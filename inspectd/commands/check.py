"""`inspectd check`: checks everything that a line needs, and prints one row per check, with a fix for each failure.

A camera or output that a running line uses is reported as in use and not touched.
"""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.text import Text

from inspectd.camera import Camera
from inspectd.config import Config, load_config
from inspectd.errors import CameraError, ConfigError, EngineError, InUseError, JournalError, OutputError
from inspectd.gate.outputs.base import SAFE_WITHIN_S, Output, Signals, make_safe
from inspectd.inference import Engine, load_bundle, load_engine
from inspectd.inference.manifest import WITHOUT_GUARD
from inspectd.line.judges import Judges
from inspectd.line.time_budget import NextImages, least_budget, measure_images, measure_record_ms
from inspectd.ownership import Claim
from inspectd.part import Part
from inspectd.records.journal_file import claim_file, damage, real_path
from inspectd.terminal import console, folding_table
from inspectd.text.verification import Verification, load_verification

_WATCHDOG_FIX = (
    "switch the watchdog of the device on and name its register in gate.output.watchdog, "
    "or write in gate.output.watchdog_waiver who accepts that there is none, and why"
)
_MARKS = {True: Text("ok", "green"), False: Text("FAIL", "red"), None: Text("warn", "yellow")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table. `ok` None: it works, but the engineer should know something."""

    what: str
    ok: bool | None
    detail: str
    fix: str = ""


_CONFIG_IS_RIGHT = Finding("config", True, "every key is known and every value is allowed")


def run(path: Path, *, pulse: bool | None = None, look_only: bool = False, as_json: bool = False) -> int:
    """Print the table. Returns exit code 0 if nothing failed, else 1. Raises ConfigError if the config can't be used.

    `pulse`: whether to pulse the actuator. None: ask, if there is a terminal. `look_only`: touch no device and no record.
    """

    def may_pulse(question: str) -> bool:
        if pulse is None and not as_json and sys.stdin.isatty():
            try:
                return input(question).strip().lower() in ("y", "yes")
            except EOFError:
                return False
        return bool(pulse)

    config = load_config(path)
    findings = []
    table = folding_table("what", "", "found", "fix", title=f"{config.name}: {path}")
    for finding in _of_a_look(config, path) if look_only else _findings(config, may_pulse):
        findings.append(finding)
        table.add_row(finding.what, _MARKS[finding.ok], finding.detail, finding.fix)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        console().print(table)
    return int(any(finding.ok is False for finding in findings))


def _of_a_look(config: Config, path: Path) -> Iterator[Finding]:
    """What can be checked beside a running line, and by a user who has not the rights of the line."""
    yield _CONFIG_IS_RIGHT
    engine = _load_engine(config)
    yield engine if isinstance(engine, Finding) else _engine(config, engine)
    if isinstance(engine, Engine):
        yield _small_faults(engine, config.camera.known_size())
        yield from _texts(_load_texts(config, engine))
    yield from _belt(config)
    for what, folder, wanted_gb in _folders(config):
        yield _free_space(what, folder, wanted_gb)
    yield _clock()
    yield Finding(
        "not checked",
        None,
        "camera, output, times, access rights and whether the journal is damaged",
        f"stop the line, then run: sudo -u inspectd inspectd check --config {path}",
    )


def _findings(config: Config, may_pulse: Callable[[str], bool]) -> Iterator[Finding]:
    yield _CONFIG_IS_RIGHT
    engine = _load_engine(config)
    yield engine if isinstance(engine, Finding) else _engine(config, engine)
    camera = config.camera.create()
    try:
        found = _camera(config, camera)
        yield found
        if isinstance(engine, Engine):
            images = _images(camera) if found.ok else None
            yield _small_faults(engine, images.size if isinstance(images, NextImages) else config.camera.known_size())
            texts = _load_texts(config, engine)
            yield from _texts(texts)
            if isinstance(images, Finding):
                yield images
            elif found.ok is not False:
                judges = Judges(engine, texts if isinstance(texts, Verification) else None)
                yield _time_budget(config, judges, images)
        if found.ok is None and config.gate.output.kind == "camera":
            yield Finding("output", None, "is on the camera that is in use: not checked", found.fix)
        else:
            yield from _output(config, camera, may_pulse)
    finally:
        camera.close()
    yield from _belt(config)
    yield _real_time(config)
    yield _records(config.journal.path)
    for what, folder, wanted_gb in _folders(config):
        yield _disk(what, folder, wanted_gb)
    yield _clock()


def _folders(config: Config) -> Iterator[tuple[str, Path, float]]:
    """What the line writes, where, and how many GB it may take."""
    yield "journal", config.journal.path.parent, config.journal.max_mb / 1000
    if config.archive is not None:
        yield "archive", config.archive.folder, config.archive.max_gb


def _load_engine(config: Config) -> Engine | Finding:
    try:
        return load_engine(load_bundle(config.engine), config.inference)
    except (ConfigError, EngineError) as error:
        return Finding(
            "engine",
            False,
            str(error),
            "build or copy the bundle again, or go back to the one before: `inspectd engines rollback`"
            if config.engine.exists()
            else f"put an engine there: `inspectd engines activate {config.engine} BUNDLE`",
        )


def _engine(config: Config, engine: Engine) -> Finding:
    manifest = engine.manifest
    checked = "hashes" if config.inference.signed_by is None else "signature, hashes"
    return Finding(
        "engine",
        True,
        f"{manifest.name} {manifest.version} on {engine.backend_name}: {checked} and {len(manifest.golden)} golden images are right, "
        f"{engine.service_ms:.1f} ms per label",
    )


def _camera(config: Config, camera: Camera) -> Finding:
    try:
        camera.open()
    except InUseError as error:
        return Finding("camera", None, f"{error}: not checked", "stop the line to check it: systemctl stop inspectd")
    except CameraError as error:
        return Finding("camera", False, str(error), _camera_fix(config))
    return Finding("camera", True, "every setting was applied and read back, and one image came")


def _images(camera: Camera) -> NextImages | Finding | None:
    """Of an open camera; None if no label comes."""
    try:
        return measure_images(camera)
    except CameraError as error:
        return Finding("time budget", False, str(error), "the camera worked at first: check its cable and power")


def _small_faults(engine: Engine, size: tuple[int, int] | None) -> Finding:
    """`size`: width and height in px of the camera's images; None if it is not known."""
    guard = engine.manifest.guard
    if guard is None:
        fix = "build it again with more good photos of the camera's size, or add a guard with tools/fit_guard.py"
        return Finding("small faults", None, WITHOUT_GUARD, fix)
    misfit = engine.misfit(size)
    if misfit is not None:
        return Finding("small faults", False, misfit)
    unknown = (
        f"; it needs images of {guard.width}x{guard.height} px, no image came to compare"
        if guard.width and not size
        else ""
    )
    return Finding("small faults", True, f"guard fitted to {guard.fitted_to} good labels{unknown}")


def _load_texts(config: Config, engine: Engine) -> Verification | Finding | None:
    """None if the line verifies no text."""
    if config.text is None:
        return None
    try:
        return load_verification(config.text, config.inference, engine)
    except (ConfigError, EngineError) as error:
        return Finding("texts", False, str(error), "correct the section text of the config, or train the reader again")


def _texts(texts: Verification | Finding | None) -> Iterator[Finding]:
    """What each field of a label must say if it comes now."""
    if texts is None:
        return
    if isinstance(texts, Finding):
        yield texts
        return
    reader = f"reader {texts.reader_id[0]} knows all fonts, " if texts.reader_id else ""
    yield Finding("texts", True, f"{reader}all fields are inside the print, {texts.service_ms:.1f} ms per label")
    now_ns = time.monotonic_ns()
    expected = texts.expectations.of(Part(1, 1, now_ns, time.time_ns(), now_ns), {})
    for name, each in expected.items():
        if each.allowed:
            allowed = each.allowed if isinstance(each.allowed, tuple) else (each.allowed.source,)
            yield Finding(f"text {name}", True, f"must say {' or '.join(allowed)} now ({each.source})")
        else:
            yield Finding(f"text {name}", None, f"this command does not know what it must say: {each.source}")


def _time_budget(config: Config, judges: Judges, images: NextImages | None) -> Finding:
    """`images`: what the camera gave; None if no label came."""
    budget = least_budget(config, judges)
    notes = []
    if images is None:
        notes.append("no label came: the time of an image is estimated from the exposure in the config")
    else:
        budget = replace(budget, image_ms=max(budget.image_ms, images.ms))
    try:
        budget = replace(budget, record_ms=measure_record_ms(config.journal))
    except (OSError, sqlite3.Error):
        notes.append("the time for recording was not measured")
    detail = budget.refusal or budget.warning or str(budget)
    ok = False if budget.refusal else None if budget.warning else True
    return Finding("time budget", ok, "; ".join([detail, *notes]))


def _camera_fix(config: Config) -> str:
    camera = config.camera
    if camera.kind == "replay":
        return "correct camera.source; a relative path starts at the folder of the config"
    if camera.kind == "pylon" and camera.emulated is not None:
        return "correct camera.emulated.images; a relative path starts at the folder of the config"
    return "check that it has power, is connected to this network or USB port, and that no other program uses it"


def _output(config: Config, camera: Camera, may_pulse: Callable[[str], bool]) -> Iterator[Finding]:
    output = config.gate.output.create(camera)
    with ExitStack() as stack:
        try:
            for device in config.gate.output.devices:
                stack.enter_context(Claim(device))
        except InUseError as error:
            yield Finding("output", None, f"{error}: not checked", "stop the line to check it: systemctl stop inspectd")
            return
        stack.callback(output.close)
        try:
            output.open()
            make_safe(output, within_s=1)
            yield Finding(
                "output", True, f"{config.gate.output.kind}: reachable; the safe state was written and read back"
            )
            for problem in output.problems():
                yield Finding("output", False, problem, _WATCHDOG_FIX)
            for warning in output.warnings():
                yield Finding("output", None, warning)
            yield _actuator(output, config.gate.width_ms, may_pulse)
        except OutputError as error:
            yield Finding("output", False, str(error), "check address, wiring and access rights")


def _actuator(output: Output, width_ms: float, may_pulse: Callable[[str], bool]) -> Finding:
    """Raises OutputError."""
    if not may_pulse(f"Pulse the actuator for {width_ms:g} ms now? It moves: keep your hands away. [y/N] "):
        return Finding("actuator", None, "not tried, so it is not known whether it moves", "inspectd check --pulse")
    with _signals_as_errors():
        try:
            output.write(Signals(actuator=True))
            time.sleep(width_ms / 1000)
            was_on, permit = output.actuator(), output.run_permit()
        finally:
            make_safe(output, within_s=SAFE_WITHIN_S)
    if permit:
        fix = "give each signal its own channel of the device: look at the addresses and the wires"
        return Finding("actuator", False, "its pulse also switched run permit on", fix)
    if was_on:
        return Finding(
            "actuator", True, f"read back as on for {width_ms:g} ms, then as off; look at the rejector: did it move?"
        )
    return Finding(
        "actuator", False, "was switched on but reads back as off", "check that no PLC program writes the same coil"
    )


@contextmanager
def _signals_as_errors() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that the actuator is switched off when the process is ended."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _belt(config: Config) -> Iterator[Finding]:
    """What the times of the gate mean for labels on the belt."""
    if config.gate.wiring == "pulse_to_reject" and config.gate.stall_ms >= config.gate.delay_ms:
        yield Finding(
            "stall",
            None,
            f"while the line stalls, labels can pass for up to {config.gate.stall_ms - config.gate.delay_ms:g} ms before "
            "run permit drops",
            "set gate.stall_ms below gate.delay_ms",
        )
    if config.gate.pitch_ms is None and config.camera.known_period_ms() is None:
        yield Finding(
            "pitch",
            None,
            "the shortest time between two labels is not known, so pulses may be too long",
            "set gate.pitch_ms",
        )


def _real_time(config: Config) -> Finding:
    wanted = config.gate.realtime_priority
    if wanted == 0:
        return Finding(
            "real time",
            None,
            "is switched off: under load, pulses may be tens of ms late",
            "set gate.realtime_priority: 50",
        )
    allowed, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if os.geteuid() == 0 or allowed == resource.RLIM_INFINITY or allowed >= wanted:
        return Finding("real time", True, f"the gate may run at SCHED_FIFO {wanted}")
    return Finding(
        "real time",
        False,
        f"the gate needs SCHED_FIFO {wanted}, but the limit is {allowed}: under load, pulses may be tens of ms late",
        "run the line from the systemd unit (LimitRTPRIO=), or raise rtprio in /etc/security/limits.conf",
    )


def _records(path: Path) -> Finding:
    shown = os.path.realpath(path)
    try:
        if not path.exists() and not path.is_symlink():
            return Finding("records", True, f"{shown}: does not exist yet; the line creates it")
        real = real_path(path)
        claim_file(real).release()
        found = damage(real) if real.stat().st_size else None
    except InUseError as error:
        return Finding("records", True, f"{error}; not checked further")
    except JournalError as error:
        return Finding("records", False, str(error), "move the file away, or set journal.path to another file")
    except OSError as error:
        fix = f"run this command as the user of the service, and give that user access to the folder: namei -l {path.parent}"
        return Finding("records", False, f"{shown}: can't be read: {error.strerror}", fix)
    if found is not None:
        fix = "none needed: when the line starts, it sets the file aside, starts a new one and reports it"
        return Finding("records", None, f"{shown} is damaged: {found}", fix)
    return Finding("records", True, f"{shown}: not damaged, and no line uses it now")


def _disk(what: str, folder: Path, wanted_gb: float) -> Finding:
    if not os.access(_existing(folder), os.W_OK):
        return Finding(
            what,
            False,
            f"this user can't write to {os.path.realpath(folder)}",
            f"change the owner of the folder (chown), or choose another folder for the {what}",
        )
    return _free_space(what, folder, wanted_gb)


def _free_space(what: str, folder: Path, wanted_gb: float) -> Finding:
    free_gb = shutil.disk_usage(_existing(folder)).free / 1e9
    if free_gb < wanted_gb:
        return Finding(
            what,
            False,
            f"{free_gb:.1f} GB are free, but the {what} may use {wanted_gb:.1f} GB",
            "free some space, or lower the limit in the config",
        )
    shown = os.path.realpath(folder)
    return Finding(what, True, f"{shown}: {free_gb:.0f} GB are free; the {what} may use {wanted_gb:.1f} GB")


def _existing(folder: Path) -> Path:
    """The folder, or the first one above it that exists."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110 - no error


def _clock() -> Finding:
    fix = "enable time synchronisation: timedatectl set-ntp true"
    timedatectl = shutil.which("timedatectl")
    if timedatectl is None:
        return Finding("clock", None, f"{time.strftime('%F %T %Z')}; whether it is synchronised is not known", fix)
    try:
        answer = subprocess.run(
            [timedatectl, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("clock", None, f"{time.strftime('%F %T %Z')}; timedatectl does not answer: {error}", fix)
    if answer == "yes":
        return Finding("clock", True, f"{time.strftime('%F %T %Z')}, synchronised")
    return Finding("clock", None, f"{time.strftime('%F %T %Z')}, not synchronised: records may have wrong times", fix)
