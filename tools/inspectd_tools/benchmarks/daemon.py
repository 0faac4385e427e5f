"""Run the daemon on rendered labels, with one config after another, and read the journal of each run."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspectd.camera.image_files import read_photo
from inspectd.files.yaml_file import dump_yaml
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.preprocess import to_grey
from inspectd.part import Missed
from inspectd.records.reading import open_for_reading
from inspectd.terminal import track
from inspectd_tools.metrics.timing import Latency, interleaved
from inspectd_tools.synthetic.render.dataset import mixed_stream, write

_START_S = 60.0
"""Longest time from the start to the first part."""


@dataclass(frozen=True, slots=True)
class Run:
    """The journal of one run of the daemon."""

    rows: list[sqlite3.Row]
    outages: list[sqlite3.Row]

    def ms(self, column: str, *percentiles: float) -> list[float]:
        """Percentiles of one column in ms, without the first second (warm-up); empty if no part has this column."""
        values = [row[column] for row in self.rows[self._warm_up() :] if row[column] is not None]
        return [float(value) / 1000 for value in np.percentile(values, percentiles)] if values else []

    def lateness_ms(self, *percentiles: float) -> list[float]:
        """Percentiles of the lateness of the rejects; empty if there was none."""
        values = [row["gate_lateness_us"] for row in self.rows if row["gate_outcome"] in ("rejected", "not_driven")]
        return [float(value) / 1000 for value in np.percentile(values, percentiles)] if values else []

    @property
    def missed(self) -> Counter[str]:
        return Counter(row["reason"] for row in self.rows if row["verdict"] == Missed.word)

    def _warm_up(self) -> int:
        begin_ns = self.rows[0]["t_mono_ns"] + 1_000_000_000
        place = sum(row["t_mono_ns"] < begin_ns for row in self.rows)
        return place if place < len(self.rows) // 2 else 0


class Bench:
    """A folder with rendered labels, on which the daemon runs with one config after another."""

    def __init__(self, folder: Path, engine: Path, threads: int, faulty: float | None = None) -> None:
        """`faulty`: share of the labels that are not good; None: about half, so that a run shows all kinds."""
        self.folder = folder
        self.engine = engine
        self.threads = threads
        self.images = folder / "images"
        self._runs = 0
        orders = mixed_stream(240, 0.05, seed=99)
        if faulty is not None:
            good = [order for order in orders if order.kind == "no_fail"]
            others = [order for order in orders if order.kind != "no_fail"][: round(len(good) * faulty / (1 - faulty))]
            orders = sorted([*good, *others], key=lambda order: order.file)
        for order in track(write(orders, self.images, masks=False, workers=os.cpu_count() or 1), "render", len(orders)):
            # BMP, because a real camera does not decode PNG, which takes the emulator 3 ms per image
            png = self.images / order.file
            cv2.imwrite(str(png.with_suffix(".bmp")), to_grey(read_photo(png)))
            png.unlink()

    @property
    def photos(self) -> list[Path]:
        return sorted(self.images.glob("*.bmp"))

    def bare_engine_ms(self, runs: int = 1000) -> tuple[list[float], list[float]]:
        """p50 and p99 of inference alone, and of preprocessing alone, in this process."""
        engine = load_engine(load_bundle(self.engine), InferenceConfig(threads=self.threads))
        images = [to_grey(read_photo(path)) for path in self.photos[:50]]
        photos, batches = cycle(images), cycle([engine.preprocess(image) for image in images])
        steps = {
            "infer": lambda: engine.infer(next(batches)),
            "preprocess": lambda: engine.preprocess(next(photos)),
        }
        infer, preprocess = (Latency.of(took_ms) for took_ms in interleaved(steps, runs).values())
        return [infer.p50_ms, infer.p99_ms], [preprocess.p50_ms, preprocess.p99_ms]

    def run(
        self,
        camera: dict[str, Any],
        seconds: float,
        output: dict[str, Any] | None = None,
        parts: int = 0,
        **sections: Any,
    ) -> Run:
        """Run the daemon for `seconds` after its first part, or until it has recorded `parts`; the rest as `config`."""
        daemon, folder = self.start(camera, output, **sections)
        _wait(daemon, _START_S, folder, parts=1)
        _wait(daemon, seconds, folder, parts)
        daemon.send_signal(signal.SIGTERM)
        if daemon.wait(timeout=60) != 0:
            raise SystemExit(f"the daemon failed: {(folder / 'daemon.log').read_text()[-2000:]}")
        with closing(open_for_reading(folder / "journal.sqlite")) as journal:
            return Run(
                journal.execute("SELECT * FROM parts ORDER BY id").fetchall(),
                journal.execute("SELECT * FROM outages").fetchall(),
            )

    def start(
        self, camera: dict[str, Any], output: dict[str, Any] | None = None, **sections: Any
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start the daemon; returns its process and its folder. The arguments are those of `config`."""
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        folder.mkdir()
        (folder / "line.yaml").write_text(dump_yaml(self.config(camera, output, **sections)))
        with (folder / "daemon.log").open("wb") as log:
            command = [sys.executable, "-m", "inspectd", "run", "--config", str(folder / "line.yaml")]
            return subprocess.Popen(command, stderr=log), folder

    def config(self, camera: dict[str, Any], output: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
        """Config of the daemon. `sections`: more of it, or other ones."""
        rate_hz = camera.get("rate_hz") or camera["trigger"]["rate_hz"]
        return {
            "engine": str(self.engine.resolve()),
            "camera": {"max_age_ms": 100, **camera},
            "inference": {"threads": self.threads},
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": 150,
                "width_ms": min(5.0, 500 / rate_hz),
                "max_lateness_ms": 100,  # so high because lateness is measured here
                "output": output or {"kind": "simulated", "record": "output.jsonl"},
            },
            "journal": {"path": "journal.sqlite"},
            **sections,
        }

    def emulator(self, rate_hz: float) -> dict[str, Any]:
        return {
            "kind": "pylon",
            "emulated": {"images": str(self.images)},
            "exposure_us": 100.0,
            "trigger": {"source": "software", "rate_hz": rate_hz},
        }

    def replay(self, rate_hz: float) -> dict[str, Any]:
        """Photos from files. Only these can overload the line: the emulator accepts no trigger before it is ready."""
        return {"kind": "replay", "source": str(self.images), "rate_hz": rate_hz, "forever": True}


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _wait(daemon: subprocess.Popen[bytes], seconds: float, folder: Path, parts: int) -> None:
    """Wait for `seconds`, until `parts` are recorded (0: no limit), or until the daemon ends."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and daemon.poll() is None:
        time.sleep(0.5)
        if 0 < parts <= _count(folder / "journal.sqlite"):
            break


def _count(journal: Path) -> int:
    if not journal.exists():
        return 0
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM parts").fetchone()[0])
        except sqlite3.OperationalError:  # the table does not exist yet
            return 0
