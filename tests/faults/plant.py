"""A plant in which things are broken: toy labels, the real daemon, and what really happened, from the output's record."""

import bisect
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import yaml

from tests.factories import UNKNOWN_GREY, make_toy_bundle, toy_image
from tests.processes import is_running

KINDS = ("no_fail", "no_fail", "fail_label_half_printed", "no_fail", UNKNOWN_GREY, "fail_label_crooked_print")
DELAY_MS, WIDTH_MS = 120, 12


@dataclass(frozen=True, slots=True)
class Outage:
    kind: str
    t_from_utc_ns: int
    t_to_utc_ns: int | None
    parts: int


class Plant:
    """One line, in a separate folder."""

    def __init__(self, folder: Path, *, images: int = 120, rate_hz: float = 50, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_path = folder / "line.yaml"
        self.journal = folder / "journal" / "journal.sqlite"
        self.record = folder / "output.jsonl"
        self.images = folder / "images"
        self.engine = make_toy_bundle(folder / "engine")
        self.images.mkdir()
        for number in range(images):
            cv2.imwrite(str(self.images / f"{number:05d}.png"), toy_image(self.kind(number), seed=number))
        self.config: dict[str, Any] = {
            "engine": "engine",
            "camera": {"kind": "replay", "source": "images", "rate_hz": rate_hz, "forever": True, "max_age_ms": 100},
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": DELAY_MS,
                "width_ms": WIDTH_MS,
                "max_lateness_ms": WIDTH_MS,
                "output": {"kind": "simulated", "record": "output.jsonl"},
            },
            "journal": {"path": "journal/journal.sqlite"},
            **changes,
        }
        self.count = images
        self.daemon: subprocess.Popen[bytes] | None = None
        self.log = folder / "daemon.log"

    def kind(self, number: int) -> str | int:
        """What image `number` shows."""
        return KINDS[number % len(KINDS)]

    def is_good(self, number: int) -> bool:
        return self.kind(number % self.count) == "no_fail"

    def write_config(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config))

    def start(self, *, until_parts: int = 1) -> None:
        """Start the daemon and wait until it has recorded some parts."""
        self.write_config()
        before = len(self.rows()) if self.journal.exists() else 0
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "inspectd", "run", "--config", str(self.config_path)], stderr=log
            )
        self.wait_for(lambda: len(self.rows()) >= before + until_parts, "parts in the journal")

    def hold_gate_up(self) -> None:
        """Stop the gate for so long that a pulse is too late."""
        gate = self.gate_pid()
        os.kill(gate, signal.SIGSTOP)
        while self.last_signals()["actuator"]:  # a pulse that is on rejects for as long as the gate stands still
            os.kill(gate, signal.SIGCONT)
            time.sleep(0.007)
            os.kill(gate, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(gate, signal.SIGCONT)

    def run_to_exit(self) -> int:
        """Start a daemon that is expected to end on its own; returns its exit code."""
        self.write_config()
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "inspectd", "run", "--config", str(self.config_path)]
            return subprocess.run(command, stderr=log, timeout=60, check=False).returncode

    def stop(self) -> int:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(timeout=30)

    def kill(self) -> None:
        """Kill the line as the kernel does, and wait until the gate, which lives longer, has finished."""
        assert self.daemon is not None
        gate = self.gate_pid()
        self.daemon.kill()
        self.daemon.wait()
        self.wait_for(lambda: not is_running(gate), "the end of the gate")

    def gate_pid(self) -> int:
        assert self.daemon is not None
        children = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text().split()
        assert len(children) == 1, children
        return int(children[0])

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 20) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}; log:\n{self.log_text()[-3000:]}")
            time.sleep(0.02)

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def rows(self) -> list[sqlite3.Row]:
        try:
            return self._query("SELECT * FROM parts ORDER BY id")
        except sqlite3.OperationalError:
            return []

    def outages(self) -> list[Outage]:
        return [
            Outage(row["kind"], row["t_from_utc_ns"], row["t_to_utc_ns"], row["parts"])
            for row in self._query("SELECT * FROM outages ORDER BY id")
        ]

    def verdicts(self) -> list[str]:
        return [row["reason"] or row["verdict"] for row in self.rows()]

    def last_signals(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.record.read_text().splitlines()[-1])
        return found

    def outcomes(self) -> list[str]:
        return [row["gate_outcome"] for row in self.rows()]

    def assert_no_bad_label_passed(self) -> None:
        """By what the plant saw: a label went through if run permit was on and there was no reject pulse at its due time.

        On a machine that stands still, no software can reject in time. The gate must then say which label to look for.
        """
        truth = _Signals(self.record)
        passed, sought = 0, self.sought() | self.unanswered()
        for row in self.rows():
            due_ns = row["t_mono_ns"] + DELAY_MS * 1_000_000
            if truth.lets_through(due_ns) and row["id"] not in sought:
                passed += 1
                assert self.is_good(row["frame_number"]), f"part {row['id']} was bad and went through"
                assert row["verdict"] == "pass", f"part {row['id']} went through as {row['verdict']}"
        assert passed, "nothing passed at all, so this shows nothing"
        assert len(self.sought()) < passed / 10, "the gate is hardly ever in time"

    def sought(self) -> set[int]:
        """Parts whose reject came too late, by the gate's log: the line may be dead by then."""
        lines = (line for line in self.log_text().splitlines() if "look for this label" in line)
        return {json.loads(line)["part"] for line in lines}

    def unanswered(self) -> set[int]:
        """Parts whose outcome a killed gate never reported; the report lists them."""
        return {row["id"] for row in self.rows() if row["gate_outcome"] is None}

    def assert_books_balance(self) -> None:
        """Part numbers have no gap, except for parts that an outage counts or a new session reports as unseen."""
        rows = self.rows()
        missing = rows[-1]["id"] - rows[0]["id"] + 1 - len(rows)
        counted = sum(outage.parts for outage in self.outages())
        assert missing <= counted, f"{missing} ids are missing, outages count {counted}"

    def _query(self, sql: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(f"{self.journal.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql).fetchall()


class _Signals:
    """The levels at any time, from the record of changes."""

    def __init__(self, record: Path) -> None:
        self._changes = [json.loads(line) for line in record.read_text().splitlines()]
        self._times = [change["t_ns"] for change in self._changes]

    def lets_through(self, due_ns: int) -> bool:
        """A rejector needs its pulse during the few ms in which the label is in front of it."""
        window = [self._at(due_ns + offset * 1_000_000) for offset in range(WIDTH_MS + 1)]
        return all(change["run_permit"] and not change["actuator"] for change in window)

    def _at(self, t_ns: int) -> dict[str, Any]:
        place = bisect.bisect_right(self._times, t_ns) - 1
        return self._changes[place] if place >= 0 else {"run_permit": False, "actuator": False}
