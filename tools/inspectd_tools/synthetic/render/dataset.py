"""A folder of rendered labels: images, `truth.csv` and, if wanted, masks."""

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspectd_tools.synthetic.dataset import write_dataset, write_image
from inspectd_tools.synthetic.render.label import CLASSES, UNKNOWNS, kinds, render
from inspectd_tools.synthetic.render.severity import Severity
from inspectd_tools.synthetic.render.style import TRAINING, Style

TRUTH_COLUMNS = (
    "file",
    "class",
    "kind",
    "fault",
    "size",
    "unit",
    "severity",
    "box",
    "polygon",
    "text",
    "seed",
    "parameters",
)
_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True)
class Order:
    """One image to render. Its bytes depend only on `kind`, `seed` and `index`, not on the process that renders it."""

    file: str
    kind: str
    seed: int
    index: int


def folders_of_classes(count_per_class: int, unknowns_per_kind: int, seed: int, severity: Severity) -> list[Order]:
    """One folder per class, and `unknown_<kind>` for the unknown labels."""
    wanted = [
        (kind, kind, count_per_class) if kind in CLASSES else (kind, f"unknown_{kind}", unknowns_per_kind)
        for kind in kinds(severity)
    ]
    named = [(f"{folder}/{number:05d}.png", kind) for kind, folder, count in wanted for number in range(count)]
    return [Order(file, kind, seed, index) for index, (file, kind) in enumerate(named)]


def mixed_stream(count: int, unknown_share: float, seed: int, severity: Severity = "all") -> list[Order]:
    """One flat folder in random order, as on a line: half of the known labels are good."""
    rng = np.random.default_rng([seed, 0xF1A7])
    unknown = rng.random(count) < unknown_share
    shares = [1 / 6, 1 / 6, 1 / 6, 1 / 2]
    unknowns = [kind for kind in kinds(severity) if kind in UNKNOWNS]
    drawn = np.where(unknown, rng.choice(unknowns, count), rng.choice(CLASSES, count, p=shares))
    return [Order(f"{index:06d}.png", str(kind), seed, index) for index, kind in enumerate(drawn)]


def write(
    orders: list[Order],
    folder: Path,
    *,
    masks: bool,
    workers: int,
    style: Style = TRAINING,
    severity: Severity = "all",
) -> Iterator[Order]:
    """Render all orders into `folder`, yielding each when its image is written; `truth.csv` is written last.

    The bytes do not depend on `workers`. Raises OSError if a file cannot be written.
    """
    for parent in {(folder / order.file).parent for order in orders}:
        parent.mkdir(parents=True, exist_ok=True)
    if masks:
        for parent in {(folder / "masks" / order.file).parent for order in orders}:
            parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_one_thread) as pool:
        jobs = ((order, folder, masks, style, severity) for order in orders)
        yield from write_dataset(pool, _make, jobs, orders, folder / "truth.csv", TRUTH_COLUMNS)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _make(job: tuple[Order, Path, bool, Style, Severity]) -> dict[str, object]:
    order, folder, masks, style, severity = job
    sample = render(order.kind, np.random.default_rng([order.seed, order.index]), style, severity)
    write_image(folder / order.file, sample.image, *_FAST)
    if masks:
        write_image(folder / "masks" / order.file, sample.fault_mask, *_FAST)
    fault = sample.fault
    return {
        "file": order.file,
        "class": sample.label_class,
        "kind": sample.kind,
        "fault": fault.kind,
        "size": "" if fault.size is None else round(fault.size, 1),
        "unit": fault.unit,
        "severity": round(fault.severity, 4),
        "box": json.dumps(sample.box),
        "polygon": json.dumps(np.round(sample.polygon, 2).tolist()),
        "text": json.dumps(sample.text),
        "seed": json.dumps([order.seed, order.index]),
        "parameters": json.dumps(sample.parameters),
    }
