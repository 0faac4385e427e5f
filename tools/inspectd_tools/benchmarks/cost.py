"""What a label costs by the engine alone and with its guard: time of one label at a time, and memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

from rich.table import Table

from inspectd.camera.image_files import read_photo
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image, Pass
from inspectd_tools.benchmarks.daemon import rss_mb
from inspectd_tools.metrics.timing import Latency, interleaved

_WARM_UP = 20
"""Labels that are judged before memory is read."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a label that passes, from the grey image to the verdict."""

    latency: Latency
    resident_mb: float
    """Of a process that has loaded the engine and judged some labels."""


def measure_cost(engine: Path, photos: Sequence[Path], threads: int, runs: int) -> dict[str, Cost]:
    """The engine alone, and with its guard if it has one; they take turns. `photos`: labels, of which some pass."""
    ways = _ways(engine)
    engines = {name: _load(engine, threads, guarded=guarded) for name, guarded in ways.items()}
    images = [image for image in map(_grey, photos) if all(_passes(own, image) for own in engines.values())]
    took_ms = interleaved({name: _judging(own, images) for name, own in engines.items()}, runs)
    # a process of its own, because memory that is freed here is not given back
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        memory = {
            name: pool.submit(_resident_mb, engine, images[0], threads, guarded=guarded).result()
            for name, guarded in ways.items()
        }
    return {name: Cost(Latency.of(took_ms[name]), memory[name]) for name in engines}


def cost_table(costs: dict[str, Cost], threads: int) -> Table:
    table = Table("image to verdict", "p50 ms", "p99 ms", "memory MB", title=f"one label at a time, {threads} threads")
    for name, cost in costs.items():
        latency = cost.latency
        table.add_row(name, f"{latency.p50_ms:.2f}", f"{latency.p99_ms:.2f}", f"{cost.resident_mb:.0f}")
    return table


def _ways(engine: Path) -> dict[str, bool]:
    has_guard = load_bundle(engine).manifest.guard is not None
    return {"engine alone": False, "with guard": True} if has_guard else {"engine alone": False}


def _load(folder: Path, threads: int, *, guarded: bool) -> Engine:
    bundle = load_bundle(folder)
    if not guarded:
        bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"guard": None}))
    return load_engine(bundle, InferenceConfig(threads=threads))


def _grey(photo: Path) -> Image:
    return to_grey(read_photo(photo))


def _passes(engine: Engine, image: Image) -> bool:
    return isinstance(engine.judge(image).verdict, Pass)


def _judging(engine: Engine, images: Sequence[Image]) -> Callable[[], object]:
    forever = cycle(images)
    return lambda: engine.judge(next(forever))


def _resident_mb(folder: Path, image: Image, threads: int, *, guarded: bool) -> float:
    engine = _load(folder, threads, guarded=guarded)
    for _ in range(_WARM_UP):
        engine.judge(image)
    return rss_mb(os.getpid())
