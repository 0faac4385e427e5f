"""Timing of this machine, with the real daemon and real peers. Figures are of this run alone: compare within it.

`line` runs three tables: a busy line through the emulated Basler camera against the bare engine, the same with its
rejector on a Modbus PLC, a rate that is raised until parts are missed, and a sparse line. `memory` watches the daemon
for ten minutes, `soak` for fifteen while reports are read: parts, misses, memory and the journal's log. `train` measures the DUQ training step against a straightforward one, `engines` one network on every runtime.
`compose` looks at composed photos: labels found, ink left, whether a classifier tells them apart, images/s.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from inspectd.shipped import shipped
from inspectd.terminal import console
from inspectd_tools.changes import add_set_option
from inspectd_tools.cli import exit_code, positive

if TYPE_CHECKING:
    from inspectd_tools.benchmarks.daemon import Bench

_BACKBONES = ("MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1")
_EPILOG = """\
examples:
  python tools/benchmark.py line
  python tools/benchmark.py line --seconds 20 --sparse-parts 5     a quick look
  python tools/benchmark.py memory --minutes 10
  python tools/benchmark.py soak --minutes 15
  python tools/benchmark.py train
  python tools/benchmark.py engines --backbone MobileNetV2 --runs 50
  python tools/benchmark.py engines --run runs/tiles --data tiles.csv
  python tools/benchmark.py compose --weights mobilenet_v2-imagenet-features.safetensors"""


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
    soak = verbs.add_parser("soak", help="a line for long, beside reports: records, misses, memory, journal's log")
    soak.add_argument("--minutes", type=float, default=15, help="default: 15")
    soak.add_argument("--rate", type=float, default=50, help="parts/s; default: 50")
    soak.set_defaults(verb=_soak)
    for verb in (line, memory, soak):
        verb.add_argument(
            "--engine",
            type=Path,
            default=shipped("engines/filter-label"),
            help="bundle; default: the shipped filter-label",
        )
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
        "--config",
        type=Path,
        default=shipped("config/compose-filter-label.yaml"),
        help="says how to render its photos; default: the shipped compose-filter-label.yaml",
    )
    add_set_option(compose, "the config")
    compose.add_argument("--count-per-class", type=positive, default=500, help="images composed; default: 500")
    compose.add_argument("--workers", type=positive, default=2, help="processes; default: 2")
    compose.add_argument("--weights", type=Path, help="of MobileNetV2 (safetensors): for the classifier; default: none")
    compose.set_defaults(verb=_compose)
    for verb in (line, memory, soak, train, engines, compose):
        verb.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args(arguments)
    if args.verb is _engines and bool(args.run) != bool(args.data):
        parser.error("--run and --data go together")
    return exit_code("benchmark", lambda: _measure(args))


def _measure(args: argparse.Namespace) -> None:
    figures = args.verb(args)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))


# Each verb loads what it measures, and no more: a composing process would start with the camera's SDK and two runtimes.


@contextmanager
def _bench(args: argparse.Namespace) -> "Iterator[Bench]":
    from inspectd_tools.benchmarks.daemon import Bench

    with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
        yield Bench(Path(folder), args.engine, args.threads)


def _line(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.benchmarks.line import measure_line

    with _bench(args) as bench:
        return measure_line(bench, args.rate, args.seconds, args.sparse_parts)


def _memory(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.benchmarks.line import measure_memory

    with _bench(args) as bench:
        return measure_memory(bench, args.rate, args.minutes)


def _soak(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.benchmarks.soak import measure_soak

    with _bench(args) as bench:
        return measure_soak(bench, args.rate, args.minutes)


def _train(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.benchmarks.duq_step import compare_steps

    speed = compare_steps(args.images, args.epochs)
    table = Table("DUQ step with gradient penalty", "images/s", "ratio", "validation accuracy", title="FashionMNIST")
    ratio = speed.images_per_s / speed.baseline_images_per_s
    table.add_row(
        "straightforward, float32", f"{speed.baseline_images_per_s:.0f}", "1", f"{speed.baseline_accuracy:.3f}"
    )
    table.add_row("tools/train.py", f"{speed.images_per_s:.0f}", f"{ratio:.2f}", f"{speed.accuracy:.3f}")
    console().print(table)
    return asdict(speed)


def _engines(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.benchmarks.runtimes import compare_runtimes, runtimes_table, trained, untrained

    subjects = trained(args.run, args.data) if args.run else untrained(args.backbone or _BACKBONES)
    figures = []
    for in_turns in subjects:
        for rows in compare_runtimes(in_turns, args.threads, args.runs):
            console().print(runtimes_table(rows, args.threads))
            figures += rows
    return {"engines": [asdict(row) for row in figures]}


def _compose(args: argparse.Namespace) -> dict[str, Any]:
    from inspectd_tools.benchmarks.composing import measure
    from inspectd_tools.synthetic.compose.config import load_compose_config

    config = load_compose_config(args.config, args.changes)
    with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
        tables, figures = measure(
            config, Path(folder), count_per_class=args.count_per_class, workers=args.workers, weights=args.weights
        )
    for table in tables:
        console().print(table)
    return figures


if __name__ == "__main__":
    sys.exit(main())
