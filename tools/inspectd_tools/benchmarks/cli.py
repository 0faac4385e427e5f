"""Measure times on this machine, with the real daemon and real devices. Compare figures only within one run.

`line` prints four tables: what a label costs with and without the guard; a busy line with the emulated Basler camera compared with
the engine alone, and with its rejector on a Modbus PLC; a rate that rises until parts are missed; and a sparse line. `memory` watches the memory of the daemon for ten
minutes. `soak` runs the daemon for fifteen minutes while reports are read: parts, misses, memory, and the journal's log.
`train` compares the DUQ training step with a straightforward one. `engines` runs one network on every runtime. `compose`
examines composed photos: labels found, ink left, whether a classifier recognises them, images/s. `wrong-text` counts the
wrong texts that a line lets pass. `page` measures the operator's page: how soon a reject is on the screen, what the page costs the
line, and its memory. `fleet` runs twenty daemons that get a new engine from one repository. `learn` lets an engine from a few photos learn from reviewed labels. `gpu` is one prepared run for a machine
with a GPU: docs/development/gpu.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from inspectd.shipped import shipped
from inspectd.terminal import console
from inspectd_tools.benchmarks.gpu.plan import STEPS
from inspectd_tools.changes import add_set_option
from inspectd_tools.cli import Verbs, add_device_option, add_verb, exit_code, new_parser, not_negative, positive

if TYPE_CHECKING:
    from inspectd_tools.benchmarks.daemon import Bench

_BACKBONES = ("MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1")
_EPILOG = """\
examples:
  python tools/benchmark.py line
  python tools/benchmark.py line --seconds 20 --sparse-parts 5     a quick look
  python tools/benchmark.py memory --minutes 10
  python tools/benchmark.py soak --minutes 15
  python tools/benchmark.py page screen neighbours
  python tools/benchmark.py page memory --minutes 60
  python tools/benchmark.py fleet --bridges
  python tools/benchmark.py train
  python tools/benchmark.py engines --backbone MobileNetV2 --runs 50
  python tools/benchmark.py engines --run runs/tiles --data tiles.csv
  python tools/benchmark.py compose --weights mobilenet_v2-imagenet-features.safetensors
  python tools/benchmark.py gpu --out out/gpu --wheels wheels --datasets datasets
  python tools/benchmark.py gpu --out out/try --device cpu --quick      the same steps without a GPU, to see that they work
  python tools/benchmark.py wrong-text --good 1000 --wrong 2000 --disagreeing 1000 --damaged 1000
  python tools/benchmark.py learn photos/tiles --pass-class free --unknown uneven --weights mobilenet_v2-imagenet-features.safetensors"""

# Each verb imports only what it measures: otherwise every composing process would load the camera SDK and two runtimes.


@dataclass(frozen=True, slots=True)
class _DaemonOptions:
    rate: float
    engine: Path
    threads: int
    json: Path | None

    @contextmanager
    def bench(self, faulty: float | None = None) -> "Iterator[Bench]":
        from inspectd_tools.benchmarks.daemon import Bench

        with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
            yield Bench(Path(folder), self.engine, self.threads, faulty)


@dataclass(frozen=True, slots=True)
class LineOptions(_DaemonOptions):
    seconds: float
    sparse_parts: int

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.line import measure_line

        with self.bench() as bench:
            return measure_line(bench, self.rate, self.seconds, self.sparse_parts)


@dataclass(frozen=True, slots=True)
class MemoryOptions(_DaemonOptions):
    minutes: float

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.line import measure_memory

        with self.bench() as bench:
            return measure_memory(bench, self.rate, self.minutes)


@dataclass(frozen=True, slots=True)
class SoakOptions(_DaemonOptions):
    minutes: float

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.soak import measure_soak

        with self.bench() as bench:
            return measure_soak(bench, self.rate, self.minutes)


@dataclass(frozen=True, slots=True)
class PageOptions(_DaemonOptions):
    what: list[str]
    faulty: float
    rejects: int
    conditions: list[str] | None
    pairs: int
    seconds: float
    minutes: float
    journal: Path | None
    requests: int
    stops: int

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.page.holds import measure_holds
        from inspectd_tools.benchmarks.page.large import measure_large
        from inspectd_tools.benchmarks.page.memory import measure_memory
        from inspectd_tools.benchmarks.page.neighbours import CONDITIONS, measure_neighbours
        from inspectd_tools.benchmarks.page.screen import measure_screen

        figures = {}
        with self.bench(faulty=self.faulty) as bench:
            if "screen" in self.what:
                figures["screen"] = measure_screen(bench, self.rate, self.rejects)
            if "neighbours" in self.what:
                names = self.conditions or list(CONDITIONS)
                figures["neighbours"] = measure_neighbours(bench, self.rate, names, self.pairs, self.seconds)
            if "holds" in self.what:
                figures["holds"] = measure_holds(bench, self.rate, self.stops)
            if "memory" in self.what:
                figures["memory"] = measure_memory(bench, self.rate, self.minutes)
            if "large" in self.what and self.journal is not None:
                figures["large"] = measure_large(bench, self.journal, self.rate, self.requests)
        return figures


@dataclass(frozen=True, slots=True)
class FleetOptions:
    lines: int
    rate: float
    before: float
    spread: float
    bridges: bool
    engine: Path
    seed: int
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.fleet.measure import Plan, measure

        plan = Plan(self.lines, self.rate, self.before, self.spread, self.bridges, self.seed)
        with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
            return measure(plan, self.engine, Path(folder))


@dataclass(frozen=True, slots=True)
class TrainOptions:
    images: int
    epochs: int
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.duq_step import compare_steps

        speed = compare_steps(self.images, self.epochs)
        table = Table(
            "DUQ step with gradient penalty", "images/s", "ratio", "validation accuracy", title="FashionMNIST"
        )
        ratio = speed.images_per_s / speed.baseline_images_per_s
        table.add_row(
            "straightforward, float32", f"{speed.baseline_images_per_s:.0f}", "1", f"{speed.baseline_accuracy:.3f}"
        )
        table.add_row("tools/train.py", f"{speed.images_per_s:.0f}", f"{ratio:.2f}", f"{speed.accuracy:.3f}")
        console().print(table)
        return asdict(speed)


@dataclass(frozen=True, slots=True)
class EnginesOptions:
    backbone: list[str] | None
    run: list[Path] | None
    data: Path | None
    runs: int
    threads: int
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.runtimes import compare_runtimes, runtimes_table, trained, untrained

        runs, data = self.run, self.data
        subjects = trained(runs, data) if runs and data else untrained(self.backbone or _BACKBONES)
        figures = []
        for in_turns in subjects:
            for rows in compare_runtimes(in_turns, self.threads, self.runs):
                console().print(runtimes_table(rows, self.threads))
                figures += rows
        found = [asdict(each) for each in figures]
        return {"engines": [each | each.pop("latency") for each in found]}


@dataclass(frozen=True, slots=True)
class ComposeOptions:
    config: Path
    changes: list[str]
    count_per_class: int
    workers: int
    weights: Path | None
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.composing import measure
        from inspectd_tools.synthetic.compose.config import load_compose_config

        config = load_compose_config(self.config, self.changes)
        with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
            tables, figures = measure(
                config, Path(folder), count_per_class=self.count_per_class, workers=self.workers, weights=self.weights
            )
        for table in tables:
            console().print(table)
        return figures


@dataclass(frozen=True, slots=True)
class WrongTextOptions:
    config: Path
    good: int
    wrong: int
    disagreeing: int
    damaged: int
    seed: int
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.wrong_text import Counts, measure

        counts = Counts(self.good, self.wrong, self.disagreeing, self.damaged)
        tables, figures = measure(self.config, counts, self.seed)
        for table in tables:
            console().print(table)
        return figures


@dataclass(frozen=True, slots=True)
class LearnOptions:
    photos: Path
    pass_class: str
    unknown: str
    weights: Path
    burst: int
    start: int
    decisions: tuple[int, ...]
    audit: int
    repeats: int
    seed: int
    by_keys: bool
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks import learning

        plan = learning.Plan(**{key: value for key, value in asdict(self).items() if key not in ("json", "by_keys")})
        measure = learning.measure
        if self.by_keys:
            from inspectd_tools.benchmarks.learning_by_keys import measure
        with tempfile.TemporaryDirectory(prefix="inspectd-benchmark-") as folder:
            tables, figures = measure(plan, Path(folder))
        for table in tables:
            console().print(table)
        return figures


@dataclass(frozen=True, slots=True)
class GpuOptions:
    out: Path
    device: str
    quick: bool
    wheels: Path | None
    datasets: Path | None
    step: list[str] | None
    seconds: float
    json: Path | None

    def measure(self) -> dict[str, Any]:
        from inspectd_tools.benchmarks.gpu.plan import Place
        from inspectd_tools.benchmarks.gpu.run import measure

        place = Place(self.out, self.device, self.quick, self.datasets)
        return measure(place, self.step or list(STEPS), self.seconds, self.wheels)


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    verbs = program.add_subparsers(required=True, metavar="VERB")
    _add_daemon_verbs(verbs)
    _add_fleet(verbs)
    _add_train(verbs)
    _add_engines(verbs)
    _add_compose(verbs)
    _add_wrong_text(verbs)
    _add_learn(verbs)
    _add_gpu(verbs)
    for verb in verbs.choices.values():
        verb.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    given = vars(program.parse_args(arguments))
    options = given.pop("options")(**given)
    if isinstance(options, EnginesOptions) and bool(options.run) != bool(options.data):
        program.error("--run and --data must be given together")
    if isinstance(options, PageOptions) and "large" in options.what and options.journal is None:
        program.error("large needs --journal")
    return exit_code("benchmark", lambda: _measure(options))


def _measure(
    options: LineOptions
    | MemoryOptions
    | SoakOptions
    | PageOptions
    | FleetOptions
    | TrainOptions
    | EnginesOptions
    | ComposeOptions
    | WrongTextOptions
    | LearnOptions
    | GpuOptions,
) -> None:
    figures = options.measure()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def _add_daemon_verbs(verbs: Verbs) -> None:
    line = add_verb(verbs, "line", "latency, overload and a sparse line")
    line.add_argument("--rate", type=float, default=100, help="parts/s of the busy line; default: 100")
    line.add_argument("--seconds", type=float, default=60, help="duration of the busy line; default: 60")
    line.add_argument(
        "--sparse-parts",
        type=int,
        default=20,
        help="number of parts on the sparse line, one per 10 s; 0 leaves this table out; default: 20",
    )
    line.set_defaults(options=LineOptions)
    memory = add_verb(verbs, "memory", "memory of both processes over time")
    memory.add_argument("--minutes", type=float, default=10, help="default: 10")
    memory.set_defaults(options=MemoryOptions)
    soak = add_verb(verbs, "soak", "a long run while reports are read: records, misses, memory, journal's log")
    soak.add_argument("--minutes", type=float, default=15, help="default: 15")
    soak.set_defaults(options=SoakOptions)
    page = _add_page(verbs)
    for verb in (memory, soak, page):
        verb.add_argument("--rate", type=float, default=50, help="parts/s; default: 50")
    for verb in (line, memory, soak, page):
        verb.add_argument(
            "--engine",
            type=Path,
            default=shipped("engines/filter-label"),
            help="bundle; default: the shipped filter-label",
        )
        verb.add_argument("--threads", type=int, default=2, help="threads of the engine; default: 2")


def _add_page(verbs: Verbs) -> argparse.ArgumentParser:
    page = add_verb(
        verbs,
        "page",
        "the operator's page: time to the screen, what it costs the line, memory",
        description="Runs a line, `inspectd serve web` with the scheduling policy of its unit, and Debian's Chromium. screen: from the "
        "verdict to the screen. neighbours: blocks with and without the page take turns within one run of the line. "
        "holds: how often a page that is stopped holds a read transaction. memory: of the page's process with ten pages open. large: answer times and scrolling over a journal with many rejects, "
        "such as `python -m tests.records.journals large.sqlite --parts 1000000 --rejects 100000` makes.",
    )
    page.add_argument(
        "what", nargs="+", choices=("screen", "neighbours", "holds", "memory", "large"), help="what to measure"
    )
    page.add_argument("--faulty", type=float, default=0.1, help="share of the labels that are not good; default: 0.1")
    page.add_argument("--rejects", type=positive, default=300, help="for screen: how many; default: 300")
    page.add_argument(
        "--condition",
        action="append",
        dest="conditions",
        metavar="NAME",
        help="for neighbours: such as '10 readers'; may be repeated; default: all",
    )
    page.add_argument("--pairs", type=positive, default=6, help="for neighbours: pairs of blocks; default: 6")
    page.add_argument("--seconds", type=float, default=12, help="for neighbours: length of a block; default: 12")
    page.add_argument("--stops", type=positive, default=300, help="for holds: how often it is stopped; default: 300")
    page.add_argument("--minutes", type=float, default=60, help="for memory; default: 60")
    page.add_argument("--journal", type=Path, metavar="FILE", help="for large: a journal, which is copied")
    page.add_argument("--requests", type=positive, default=40, help="for large: requests per page; default: 40")
    page.set_defaults(options=PageOptions)
    return page


def _add_fleet(verbs: Verbs) -> None:
    fleet = add_verb(
        verbs,
        "fleet",
        "many lines that get a new engine from one repository",
        description="Runs real daemons, publishes a new engine, and lets each line pull it at a random time. Line 7 trusts another "
        "key, and the web server of line 13 alters a file: both must go on with the old engine.",
    )
    fleet.add_argument("--lines", type=positive, default=20, help="default: 20")
    fleet.add_argument("--rate", type=float, default=1, help="parts/s of each line; default: 1")
    fleet.add_argument("--before", type=float, default=20, metavar="S", help="with the first engine; default: 20 s")
    fleet.add_argument("--spread", type=float, default=120, metavar="S", help="pulls begin within it; default: 120 s")
    fleet.add_argument("--bridges", action="store_true", help="also metrics of each line, and all parts to one broker")
    fleet.add_argument(
        "--engine", type=Path, default=shipped("engines/filter-label"), help="bundle; default: the shipped filter-label"
    )
    fleet.add_argument("--seed", type=not_negative, default=0, help="default: 0")
    fleet.set_defaults(options=FleetOptions)


def _add_train(verbs: Verbs) -> None:
    train = add_verb(verbs, "train", "the DUQ step with gradient penalty, on FashionMNIST")
    train.add_argument("--images", type=int, default=10000, help="images per epoch; default: 10000")
    train.add_argument("--epochs", type=int, default=3, help="default: 3")
    train.set_defaults(options=TrainOptions)


def _add_engines(verbs: Verbs) -> None:
    engines = add_verb(
        verbs,
        "engines",
        "one network on every runtime and precision: time, size, difference to fp32",
        description="PyTorch eager, torch.compile, ONNX Runtime and OpenVINO in fp32, bf16 and INT8, at batch 1 and in turns.",
    )
    engines.add_argument(
        "--backbone",
        action="append",
        choices=_BACKBONES,
        help="a backbone with random weights; may be repeated; default: all four",
    )
    engines.add_argument(
        "--run", action="append", type=Path, metavar="RUN", help="a run folder instead; may be repeated"
    )
    engines.add_argument("--data", type=Path, metavar="PATH", help="photos for these runs: manifest or class folders")
    engines.add_argument("--runs", type=positive, default=300, help="measured inferences per runtime; default: 300")
    engines.add_argument("--threads", type=positive, default=2, help="threads of every runtime; default: 2")
    engines.set_defaults(options=EnginesOptions)


def _add_compose(verbs: Verbs) -> None:
    compose = add_verb(verbs, "compose", "composed photos compared with rendered ones, whose truth is known")
    compose.add_argument(
        "--config",
        type=Path,
        default=shipped("config/compose-filter-label.yaml"),
        help="its comment says how to render the photos; default: the shipped compose-filter-label.yaml",
    )
    add_set_option(compose, "the config")
    compose.add_argument("--count-per-class", type=positive, default=500, help="images to compose; default: 500")
    compose.add_argument("--workers", type=positive, default=2, help="processes; default: 2")
    compose.add_argument(
        "--weights", type=Path, help="weights of MobileNetV2 (safetensors) for the classifier; default: no classifier"
    )
    compose.set_defaults(options=ComposeOptions)


def _add_wrong_text(verbs: Verbs) -> None:
    verb = add_verb(verbs, "wrong-text", "wrong texts and damaged codes on rendered labels: how many pass")
    verb.add_argument(
        "--config",
        type=Path,
        default=shipped("config/demo.yaml"),
        help="a line that verifies texts; default: the shipped demo line",
    )
    verb.add_argument("--good", type=not_negative, default=300, metavar="N", help="good labels; default: 300")
    verb.add_argument("--wrong", type=not_negative, default=300, metavar="N", help="wrong texts; default: 300")
    verb.add_argument(
        "--disagreeing",
        type=not_negative,
        default=100,
        metavar="N",
        help="codes that contradict the text; default: 100",
    )
    verb.add_argument("--damaged", type=not_negative, default=100, metavar="N", help="damaged codes; default: 100")
    verb.add_argument("--seed", type=not_negative, default=0, help="default: 0")
    verb.set_defaults(options=WrongTextOptions)


def _add_learn(verbs: Verbs) -> None:
    verb = add_verb(
        verbs, "learn", "what reviewed labels buy an engine from a few photos, and whether swapped labels are refused"
    )
    verb.add_argument("photos", type=Path, metavar="FOLDER", help="one folder of photos per class")
    verb.add_argument("--pass-class", required=True, metavar="CLASS", help="the good class")
    verb.add_argument("--unknown", required=True, metavar="CLASS", help="a class that the engine does not know")
    verb.add_argument("--weights", type=Path, required=True, metavar="FILE", help="pretrained weights of MobileNetV2")
    verb.add_argument("--burst", type=positive, default=60, metavar="N", help="as in prepare_data.py; default: 60")
    verb.add_argument(
        "--start", type=positive, default=10, metavar="N", help="photos per class of the first engine; default: 10"
    )
    verb.add_argument(
        "--decisions",
        type=_counts,
        default=(50, 100, 200, 400),
        metavar="N,N",
        help="reviewed labels; default: 50,100,200,400",
    )
    verb.add_argument("--audit", type=positive, default=5, metavar="N", help="people look at one pass in N; default: 5")
    verb.add_argument(
        "--repeats", type=positive, default=3, metavar="N", help="tries per kind and share of swaps; default: 3"
    )
    verb.add_argument("--seed", type=not_negative, default=0, help="default: 0")
    verb.add_argument(
        "--by-keys",
        action="store_true",
        help="run a line on the photos, decide, learn and activate in a browser by keys, until an engine is accepted; no swaps",
    )
    verb.set_defaults(options=LearnOptions)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def _add_gpu(verbs: Verbs) -> None:
    steps = "\n".join(f"  {name:8} {step.says}; at most {step.seconds} s" for name, step in STEPS.items())
    verb = add_verb(
        verbs, "gpu", "one prepared run on a machine with a GPU, in minutes and without a network", f"steps:\n{steps}"
    )
    verb.add_argument(
        "--out", type=Path, required=True, help="folder for results.json, report.md and a log of each step"
    )
    add_device_option(verb)
    verb.add_argument("--quick", action="store_true", help="a few images and seconds only, to see that the steps work")
    verb.add_argument(
        "--wheels", type=Path, metavar="FOLDER", help="packages to install first, into a virtual environment in --out"
    )
    verb.add_argument("--datasets", type=Path, metavar="FOLDER", help="folder with fashion-mnist and cifar10")
    verb.add_argument("--step", action="append", choices=STEPS, help="only this step; may be repeated; default: all")
    verb.add_argument("--seconds", type=float, default=480, metavar="S", help="for all steps together; default: 480")
    verb.set_defaults(options=GpuOptions)


if __name__ == "__main__":
    sys.exit(main())
