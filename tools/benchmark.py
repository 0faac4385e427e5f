"""Timing of this machine, with the real daemon and real peers. Figures are of this run alone: compare within it.

`line` runs three tables: a busy line through the emulated Basler camera against the bare engine, the same with its
rejector on a Modbus PLC, a rate that is raised until parts are missed, and a sparse line. `memory` watches the daemon
for ten minutes. `train` measures the DUQ training step against a straightforward one, `engines` one network on every runtime.
`compose` looks at composed photos: labels found, ink left, whether a classifier tells them apart, images/s.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inspectd.errors import InspectdError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.journal import open_for_reading
from inspectd_tools.command_line import positive
from inspectd_tools.composing.config import load_compose_config
from inspectd_tools.composing.measure import measure
from inspectd_tools.modbus_plc import ModbusPlc
from inspectd_tools.rendering.dataset import mixed_stream, write

_STAGES = ("acquire_us", "queue_us", "preprocess_us", "infer_us", "record_us")
_BACKBONES = ("MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1")
_EPILOG = """\
examples:
  python tools/benchmark.py line
  python tools/benchmark.py line --seconds 20 --sparse-parts 5     a quick look
  python tools/benchmark.py memory --minutes 10
  python tools/benchmark.py train
  python tools/benchmark.py engines --backbone MobileNetV2 --runs 50
  python tools/benchmark.py engines --run runs/tiles --data tiles.csv
  python tools/benchmark.py compose --weights mobilenet_v2-imagenet-features.safetensors"""


@dataclass(frozen=True, slots=True)
class Run:
    """The journal of one run of the daemon."""

    rows: list[sqlite3.Row]
    outages: list[sqlite3.Row]

    def ms(self, column: str, *percentiles: float) -> list[float]:
        """Percentiles of one column in ms, over the parts that have it; the first second is warm-up."""
        values = [row[column] for row in self.rows[self._warm_up() :] if row[column] is not None]
        return [float(value) / 1000 for value in np.percentile(values, percentiles)]

    def lateness_ms(self, *percentiles: float) -> list[float]:
        values = [row["gate_lateness_us"] for row in self.rows if row["gate_outcome"] == "rejected"]
        return [float(value) / 1000 for value in np.percentile(values, percentiles)]

    @property
    def missed(self) -> Counter[str]:
        return Counter(row["reason"] for row in self.rows if row["verdict"] == "missed")

    def _warm_up(self) -> int:
        begin_ns = self.rows[0]["t_mono_ns"] + 1_000_000_000
        place = sum(row["t_mono_ns"] < begin_ns for row in self.rows)
        return place if place < len(self.rows) // 2 else 0


class Bench:
    """A folder with rendered labels, and the daemon run on them under one config after another."""

    def __init__(self, folder: Path, engine: Path, threads: int) -> None:
        self.folder = folder
        self.engine = engine
        self.threads = threads
        self.images = folder / "images"
        self._runs = 0
        orders = mixed_stream(240, 0.05, seed=99)
        for order in track(write(orders, self.images, masks=False, workers=os.cpu_count() or 1), "render", len(orders)):
            # a camera does not decode PNG before it delivers, which would take the emulator 3 ms an image
            png = self.images / order.file
            cv2.imwrite(str(png.with_suffix(".bmp")), cv2.imread(str(png), cv2.IMREAD_GRAYSCALE))
            png.unlink()

    def bare_engine_ms(self, runs: int = 1000) -> tuple[list[float], list[float]]:
        """p50 and p99 of inference alone, and of preprocessing alone, in this process."""
        engine = load_engine(load_bundle(self.engine), InferenceConfig(threads=self.threads))
        images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(self.images.glob("*.bmp"))[:50]]
        infer, preprocess = [], []
        for number in range(runs):
            t0 = time.monotonic_ns()
            batch = engine.preprocess(images[number % len(images)])
            t1 = time.monotonic_ns()
            engine.infer(batch)
            preprocess.append((t1 - t0) / 1e6)
            infer.append((time.monotonic_ns() - t1) / 1e6)
        return [float(v) for v in np.percentile(infer, (50, 99))], [
            float(v) for v in np.percentile(preprocess, (50, 99))
        ]

    def run(self, camera: dict[str, Any], seconds: float, output: dict[str, Any] | None = None, parts: int = 0) -> Run:
        """The daemon for so many seconds, or until it has recorded `parts`."""
        daemon, folder = self.start(camera, output)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and daemon.poll() is None:
            time.sleep(0.5)
            if parts and _count(folder / "journal.sqlite") >= parts:
                break
        daemon.send_signal(signal.SIGTERM)
        if daemon.wait(timeout=60) != 0:
            raise SystemExit(f"the daemon failed: {(folder / 'daemon.log').read_text()[-2000:]}")
        with closing(open_for_reading(folder / "journal.sqlite")) as journal:
            return Run(
                journal.execute("SELECT * FROM parts ORDER BY id").fetchall(),
                journal.execute("SELECT * FROM outages").fetchall(),
            )

    def start(
        self, camera: dict[str, Any], output: dict[str, Any] | None = None
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """The running daemon and its folder."""
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        folder.mkdir()
        config = {
            "engine": str(self.engine.resolve()),
            "camera": {"max_age_ms": 100, **camera},
            "inference": {"threads": self.threads},
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": 150,
                "width_ms": 5,
                "max_lateness_ms": 100,  # it is measured here
                "output": output or {"kind": "simulated", "record": "output.jsonl"},
            },
            "journal": {"path": "journal.sqlite"},
        }
        (folder / "line.yaml").write_text(yaml.safe_dump(config))
        with (folder / "daemon.log").open("wb") as log:
            command = [sys.executable, "-m", "inspectd", "run", "--config", str(folder / "line.yaml")]
            return subprocess.Popen(command, stderr=log), folder

    def emulator(self, rate_hz: float) -> dict[str, Any]:
        return {
            "kind": "pylon",
            "emulated": {"images": str(self.images)},
            "exposure_us": 100.0,
            "trigger": {"source": "software", "rate_hz": rate_hz},
        }

    def replay(self, rate_hz: float) -> dict[str, Any]:
        """The emulator takes no trigger before it is ready, so only files can overload the line."""
        return {"kind": "replay", "source": str(self.images), "rate_hz": rate_hz, "forever": True}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    line = verbs.add_parser("line", help="latency, overload and a sparse line")
    line.add_argument("--rate", type=float, default=100, help="parts/s of the busy line; default: 100")
    line.add_argument("--seconds", type=float, default=60, help="of the busy line; default: 60")
    line.add_argument(
        "--sparse-parts", type=int, default=20, help="one part in 10 s; 0 leaves the table out; default: 20"
    )
    line.set_defaults(verb=_line)
    memory = verbs.add_parser("memory", help="resident memory of both processes over time")
    memory.add_argument("--minutes", type=float, default=10, help="default: 10")
    memory.add_argument("--rate", type=float, default=50, help="parts/s; default: 50")
    memory.set_defaults(verb=_memory)
    for verb in (line, memory):
        verb.add_argument("--engine", type=Path, default=Path("engines/filter-label"))
        verb.add_argument("--threads", type=int, default=2, help="of the engine; default: 2")
    train = verbs.add_parser("train", help="the DUQ step with gradient penalty, on FashionMNIST")
    train.add_argument("--images", type=int, default=10000, help="an epoch; default: 10000")
    train.add_argument("--epochs", type=int, default=3, help="default: 3")
    train.set_defaults(verb=_train)
    engines = verbs.add_parser(
        "engines",
        help="one network on every runtime and precision: time, size, certainty against fp32",
        description="PyTorch eager, torch.compile, ONNX Runtime and OpenVINO in fp32, bf16 and INT8, at batch 1 and in turns.",
    )
    engines.add_argument(
        "--backbone",
        action="append",
        choices=_BACKBONES,
        help="with random weights, may be repeated; default: all four",
    )
    engines.add_argument(
        "--run", action="append", type=Path, metavar="RUN", help="a training's folder instead, may be repeated"
    )
    engines.add_argument("--data", type=Path, metavar="PATH", help="of these runs: manifest or folder of class folders")
    engines.add_argument("--runs", type=positive, default=300, help="measured inferences of each; default: 300")
    engines.add_argument("--threads", type=positive, default=2, help="of every runtime; default: 2")
    engines.set_defaults(verb=_engines)
    compose = verbs.add_parser("compose", help="composed photos against rendered ones, whose truth is known")
    compose.add_argument(
        "--config", type=Path, default=Path("config/compose-filter-label.yaml"), help="says how to render its photos"
    )
    compose.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the config")
    compose.add_argument("--count-per-class", type=positive, default=500, help="images composed; default: 500")
    compose.add_argument("--workers", type=positive, default=2, help="processes; default: 2")
    compose.add_argument("--weights", type=Path, help="of MobileNetV2 (safetensors): for the classifier; default: none")
    compose.set_defaults(verb=_compose)
    for verb in (line, memory, train, engines, compose):
        verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args(arguments)
    if args.verb is _engines and bool(args.run) != bool(args.data):
        parser.error("--run and --data go together")
    try:
        figures = args.verb(args)
    except InspectdError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))
    return 0


@contextmanager
def _bench(args: argparse.Namespace) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
        yield Bench(Path(folder), args.engine, args.threads)


def _line(args: argparse.Namespace) -> dict[str, Any]:
    with _bench(args) as bench:
        return _measure_line(bench, args)


def _measure_line(bench: Bench, args: argparse.Namespace) -> dict[str, Any]:
    console = Console()
    bare, preprocess = bench.bare_engine_ms()
    busy = bench.run(bench.emulator(args.rate), args.seconds)
    with ModbusPlc(bench.folder / "coils.csv") as plc:
        output = {"kind": "modbus", "host": "127.0.0.1", "port": plc.port, "actuator_coil": 0, "run_permit_coil": 1}
        modbus = bench.run(bench.emulator(args.rate), args.seconds / 3, output)
    console.print(_busy_table(args, bare, preprocess, busy, modbus))
    overload = {rate: bench.run(bench.replay(rate), 8) for rate in (100, 200, 300, 400, 600, 800)}
    console.print(_overload_table(overload))
    figures: dict[str, Any] = {
        "bare_engine_ms": {"p50": bare[0], "p99": bare[1]},
        "busy": _summary(busy),
        "modbus": _summary(modbus),
        "overload": {rate: {"parts": len(run.rows), "missed": dict(run.missed)} for rate, run in overload.items()},
    }
    if args.sparse_parts:
        sparse = bench.run(bench.emulator(0.1), 10 * args.sparse_parts + 30, parts=args.sparse_parts)
        console.print(_sparse_table(busy, sparse))
        figures["sparse"] = _summary(sparse)
    return figures


def _summary(run: Run) -> dict[str, Any]:
    return {
        "parts": len(run.rows),
        "missed": dict(run.missed),
        "verdict_ms": dict(zip(("p50", "p99", "max"), run.ms("verdict_us", 50, 99, 100), strict=True)),
        "lateness_ms": dict(zip(("p50", "p99", "p99.9", "max"), run.lateness_ms(50, 99, 99.9, 100), strict=True))
        if any(row["gate_outcome"] == "rejected" for row in run.rows)
        else {},
    }


def _busy_table(args: argparse.Namespace, bare: list[float], preprocess: list[float], busy: Run, modbus: Run) -> Table:
    table = Table(
        "ms", "p50", "p99", "p99.9", "max", title=f"{len(busy.rows)} parts at {args.rate:g}/s, emulated Basler camera"
    )
    table.add_row("bare engine: infer", *_cells(bare))
    table.add_row("bare engine: preprocess", *_cells(preprocess))
    for stage in _STAGES:
        table.add_row(f"line: {stage.removesuffix('_us')}", *_cells(busy.ms(stage, 50, 99, 99.9, 100)))
    verdict = busy.ms("verdict_us", 50, 99, 99.9, 100)
    table.add_row("[bold]trigger to verdict", *_cells(verdict), end_section=True)
    table.add_row("p50 above the bare engine", f"{verdict[0] - bare[0]:+.2f}")
    table.add_row("pulse lateness, simulated", *_cells(busy.lateness_ms(50, 99, 99.9, 100)))
    table.add_row("pulse lateness, Modbus coil acknowledged", *_cells(modbus.lateness_ms(50, 99, 99.9, 100)))
    table.caption = f"missed: {dict(busy.missed) or 'none'}; with Modbus: {dict(modbus.missed) or 'none'}"
    return table


def _overload_table(runs: dict[int, Run]) -> Table:
    table = Table(
        "parts/s",
        "parts",
        "inspected",
        "missed",
        "of these rejected",
        "verdict p50 ms",
        "p99 ms",
        title="overload, from files",
    )
    for rate, run in runs.items():
        missed = [row for row in run.rows if row["verdict"] == "missed"]
        rejected = sum(row["gate_outcome"] in ("rejected", "rejected_late", "rejected_stopped") for row in missed)
        unrecorded = sum(row["parts"] for row in run.outages)
        table.add_row(
            str(rate),
            str(len(run.rows) + unrecorded),
            str(len(run.rows) - len(missed)),
            f"{len(missed)} {dict(run.missed) or ''}",
            str(rejected),
            *(f"{value:.2f}" for value in run.ms("verdict_us", 50, 99)),
        )
    return table


def _sparse_table(busy: Run, sparse: Run) -> Table:
    table = Table("trigger to verdict, ms", "parts", "p50", "p99", "max", title="a sparse line: one part in 10 s")
    for name, run in (("busy", busy), ("sparse", sparse)):
        table.add_row(name, str(len(run.rows)), *_cells(run.ms("verdict_us", 50, 99, 100)), style="bold")
        for stage in _STAGES:
            table.add_row(f"  {stage.removesuffix('_us')}", "", *_cells(run.ms(stage, 50, 99, 100)))
    return table


def _memory(args: argparse.Namespace) -> dict[str, Any]:
    with _bench(args) as bench:
        return _measure_memory(bench, args)


def _measure_memory(bench: Bench, args: argparse.Namespace) -> dict[str, Any]:
    daemon, _ = bench.start(bench.emulator(args.rate))
    samples: list[dict[str, float]] = []
    try:
        for minute in track(range(1, round(args.minutes) + 1), "minutes"):
            time.sleep(60)
            children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
            samples.append({"minute": minute, "line_mb": _rss_mb(daemon.pid), "gate_mb": _rss_mb(int(children[0]))})
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=60)
    table = Table("minute", "line MB", "gate MB", title=f"resident memory at {args.rate:g} parts/s")
    for sample in samples:
        table.add_row(f"{sample['minute']:.0f}", f"{sample['line_mb']:.1f}", f"{sample['gate_mb']:.1f}")
    Console().print(table)
    return {"memory": samples}


def _train(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.training.speed import compare_steps  # torch, which the line's benchmark does without

    speed = compare_steps(args.images, args.epochs)
    table = Table("DUQ step with gradient penalty", "images/s", "ratio", "validation accuracy", title="FashionMNIST")
    ratio = speed.images_per_s / speed.baseline_images_per_s
    table.add_row(
        "straightforward, float32", f"{speed.baseline_images_per_s:.0f}", "1", f"{speed.baseline_accuracy:.3f}"
    )
    table.add_row("tools/train.py", f"{speed.images_per_s:.0f}", f"{ratio:.2f}", f"{speed.accuracy:.3f}")
    Console().print(table)
    return asdict(speed)


def _engines(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.training.runtimes import compare_runtimes, runtimes_table, trained, untrained

    subjects = trained(args.run, args.data) if args.run else untrained(args.backbone or _BACKBONES)
    figures = []
    for subject in subjects:
        rows = compare_runtimes(subject, args.threads, args.runs)
        Console().print(runtimes_table(rows, args.threads))
        figures += rows
    return {"engines": [asdict(row) for row in figures]}


def _compose(args: argparse.Namespace) -> dict[str, Any]:
    config = load_compose_config(args.config, args.set)
    with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
        tables, figures = measure(
            config, Path(folder), count_per_class=args.count_per_class, workers=args.workers, weights=args.weights
        )
    for table in tables:
        Console().print(table)
    return figures


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _cells(values: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _count(journal: Path) -> int:
    if not journal.exists():
        return 0
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM parts").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0


if __name__ == "__main__":
    sys.exit(main())
