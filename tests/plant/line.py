"""The real daemon with the plant's device, over several starts, and every label that it had to deal with."""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import yaml

from inspectd_tools.plc.modbus_plc import ModbusPlc
from tests.factories import UNKNOWN_GREY, make_toy_bundle, toy_image
from tests.plant.record import Level
from tests.plant.truth import ACTUATOR, HEARTBEAT, PERMIT, Label
from tests.processes import is_running

_KINDS = ("no_fail", "no_fail", "no_fail", "fail_label_half_printed", "fail_label_crooked_print", UNKNOWN_GREY)
_IMAGES = 211


class Refused(Exception):
    """The daemon refused its config (78). The message is its log."""


class StandsStill(Exception):
    """The line does not run again although nothing is broken any more. The message is its log."""


class Labels:
    """What the camera shows: seeded, made once, and the engine that knows it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.engine = make_toy_bundle(folder / "engine", backends=("onnxruntime",))
        self.images = folder / "images"
        self.images.mkdir()
        self._kinds = random.Random(seed).choices(_KINDS, k=_IMAGES)
        for number, kind in enumerate(self._kinds):
            cv2.imwrite(str(self.images / f"{number:05d}.png"), toy_image(kind, seed=number))

    def is_good(self, frame_number: int) -> bool:
        return self._kinds[frame_number % _IMAGES] == "no_fail"


@dataclass
class Life:
    """One run of the daemon, from start to end."""

    log: Path
    process: subprocess.Popen[bytes]
    t_from_ns: int
    gate_pid: int = 0
    stood_still: list[tuple[int, int]] = field(default_factory=list)
    """Times in which the line's process was stopped."""

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def log_text(self) -> str:
        return self.log.read_text()

    def named(self) -> set[int]:
        """Parts of "look for this label" lines."""
        lines = (line for line in self.log_text().splitlines() if "look for this label" in line)
        return {int(part) for line in lines for part in re.findall(r'"part": (\d+)', line)}


class Line:
    """One line's config, journal and device. A line that has ended is started again."""

    def __init__(self, folder: Path, labels: Labels, plc: ModbusPlc, *, rate_hz: float, gate: dict[str, Any]) -> None:
        self.folder = folder
        self.plc = plc
        self.labels = labels
        self.period_ns = round(1e9 / rate_hz)
        self.delay_ns = round(gate["delay_ms"] * 1e6)
        self.lives: list[Life] = []
        self.images = folder / "images"
        self.images.symlink_to(labels.images)
        self._journal = folder / "journal.sqlite"
        self._config = folder / "line.yaml"
        self._utc_ns = time.time_ns() - time.monotonic_ns()
        output = {
            "kind": "modbus",
            "host": "127.0.0.1",
            "port": plc.port,
            "actuator_coil": ACTUATOR,
            "run_permit_coil": PERMIT,
            "heartbeat_register": HEARTBEAT,
        }
        camera = {"kind": "replay", "source": str(self.images), "rate_hz": rate_hz, "forever": True}
        config = {
            "engine": str(labels.engine),
            "camera": {**camera, "max_age_ms": min(100, gate["delay_ms"])},
            "inference": {"backend": "onnxruntime", "threads": 1},
            "gate": {**gate, "output": output},
            "journal": {"path": str(self._journal)},
        }
        self._config.write_text(yaml.safe_dump(config))

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def start(self) -> None:
        """A new life; returns at once."""
        log = self.folder / f"log-{len(self.lives)}"
        t_from_ns = time.monotonic_ns()
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "inspectd", "run", "--config", str(self._config)], stderr=file
            )
        self.lives.append(Life(log, process, t_from_ns))

    def settle(self, timeout_s: float = 30) -> None:
        """Return when labels pass with run permit on; start again and reload (SIGHUP) as an operator would.

        Raises Refused if the daemon does not take its config, StandsStill if it does not run in time.
        """
        end_s = time.monotonic() + timeout_s
        ask_s = time.monotonic() + 0.6
        while True:
            if not self.lives or self.life.ended:
                self._raise_if_refused()
                self.start()
                ask_s = time.monotonic() + 3
            elif self._runs():
                return
            elif time.monotonic() > ask_s and "camera delivers" in self.life.log_text():
                self.life.process.send_signal(signal.SIGHUP)
                ask_s = time.monotonic() + 0.6
            if time.monotonic() > end_s:
                raise StandsStill(f"does not run again:\n{self.life.log_text()[-3000:]}")
            time.sleep(0.03)

    def _runs(self) -> bool:
        if not self.plc.coil(PERMIT):
            return False
        newest = self._query("SELECT coalesce(max(t_mono_ns), 0) AS t FROM parts")[0]["t"]
        if newest < max(self.life.t_from_ns, time.monotonic_ns() - 500_000_000):
            return False
        self.life.gate_pid = self.life.gate_pid or self._find_gate()
        return self.life.gate_pid != 0

    def _raise_if_refused(self) -> None:
        if self.lives and self.life.process.returncode == 78:
            raise Refused(self.life.log_text())

    def _find_gate(self) -> int:
        """0 if there is none."""
        pid = self.life.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            gates = [
                int(child) for child in children if b"inspectd.gate" in Path(f"/proc/{child}/cmdline").read_bytes()
            ]
        except OSError:  # the line or its gate ends
            return 0
        return gates[0] if gates else 0

    # faults of the processes; each returns when it began (monotonic ns)

    def signal_line(self, sent: signal.Signals) -> int:
        now_ns = time.monotonic_ns()
        self.life.process.send_signal(sent)
        return now_ns

    def signal_gate(self, sent: signal.Signals) -> int:
        now_ns = time.monotonic_ns()
        with suppress(ProcessLookupError):  # the line was quicker
            os.kill(self.life.gate_pid, sent)
        return now_ns

    def stop_line_for(self, seconds: float) -> int:
        """SIGSTOP, then SIGCONT."""
        begin_ns = self.signal_line(signal.SIGSTOP)
        time.sleep(seconds)
        self.life.stood_still.append((begin_ns, self.signal_line(signal.SIGCONT)))
        return begin_ns

    def wait_for_end(self, timeout_s: float) -> int | None:
        """Of line and gate. The line's exit code, None if one of them still runs."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if self.life.ended and not is_running(self.life.gate_pid):
                return self.life.process.returncode
            time.sleep(0.02)
        return None

    def stop(self) -> None:
        """As an operator does. Only its end is expected."""
        self.signal_line(signal.SIGTERM)
        self.wait_for_end(20)

    def close(self) -> None:
        """Nothing of it is left."""
        for life in self.lives:
            if not life.ended:
                life.process.kill()
                life.process.wait()
            if life.gate_pid and is_running(life.gate_pid):
                os.kill(life.gate_pid, signal.SIGKILL)

    # the labels

    def all_labels(self, permit: Level) -> list[Label]:
        """The labels with a row, and those that nobody inspected."""
        listed = self._listed_by_report()
        labels: list[Label] = []
        rows = self._query("SELECT * FROM parts ORDER BY id")
        for life, next_life in zip(self.lives, [*self.lives[1:], None], strict=True):
            end_ns = next_life.t_from_ns if next_life else 1 << 62
            own = [row for row in rows if life.t_from_ns <= row["t_mono_ns"] < end_ns]
            named = life.named()
            labels += [self._label(row, named | listed) for row in own]
            labels += self._never_inspected(life, own, named, permit)
        return labels

    def _label(self, row: sqlite3.Row, sought: set[int]) -> Label:
        return Label(
            part=row["id"],
            due_ns=row["t_mono_ns"] + self.delay_ns,
            is_good=self.labels.is_good(row["frame_number"]),
            verdict=row["verdict"],
            outcome=row["gate_outcome"],
            is_sought=row["id"] in sought or row["gate_outcome"] == "not_driven",
        )

    def _never_inspected(self, life: Life, rows: list[sqlite3.Row], named: set[int], permit: Level) -> Iterator[Label]:
        """Labels come at the pitch even if nobody looks: after the last row until the belt stops, and while the line's
        process stood still. A camera would have kept the images of those that are due later."""
        outages = self._query("SELECT * FROM outages")
        for row, following in zip(rows, [*rows[1:], None], strict=bool(rows)):
            t_from_ns = row["t_mono_ns"]
            if following is None:
                due_until_ns = permit.first_off(t_from_ns + self.delay_ns) or time.monotonic_ns()
            else:
                stops = (stop for stop in life.stood_still if stop[0] < following["t_mono_ns"] and stop[1] > t_from_ns)
                due_until_ns = max((end_ns for _, end_ns in stops), default=0)
            for place in range(1, (due_until_ns - self.delay_ns - t_from_ns) // self.period_ns + 1):
                part, due_ns = row["id"] + place, t_from_ns + place * self.period_ns + self.delay_ns
                told = part in named or any(self._covers(outage, due_ns) for outage in outages)
                yield Label(part, due_ns, is_good=False, is_sought=told)

    def _covers(self, outage: sqlite3.Row, due_ns: int) -> bool:
        utc_ns = due_ns + self._utc_ns
        return bool(
            outage["t_from_utc_ns"] - self.delay_ns <= utc_ns <= (outage["t_to_utc_ns"] or 1 << 62) + self.delay_ns
        )

    def _listed_by_report(self) -> set[int]:
        """Every part that the report lists one by one."""
        command = [
            sys.executable,
            "-m",
            "inspectd",
            "report",
            "--journal",
            str(self._journal),
            "--last",
            "1d",
            "--json",
        ]
        told = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
        lists = (value for value in told.values() if isinstance(value, list))
        return {entry["id"] for entries in lists for entry in entries if isinstance(entry, dict) and "id" in entry}

    def _query(self, sql: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(f"{self._journal.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql).fetchall()
