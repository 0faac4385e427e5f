"""A folder of rendered labels: images, `truth.csv` and, if asked for, masks."""

import csv
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspectd_tools.synthetic.render.label import CLASSES, UNKNOWNS, render
from inspectd_tools.synthetic.render.style import TRAINING, Style

TRUTH_COLUMNS = ("file", "class", "kind", "severity", "polygon", "text", "seed", "parameters")


@dataclass(frozen=True, slots=True)
class Order:
    """One image to be made: `kind` from `(seed, index)`, whoever makes it."""

    file: str
    kind: str
    seed: int
    index: int


def folders_of_classes(count_per_class: int, unknowns_per_kind: int, seed: int) -> list[Order]:
    """One folder a class, and `unknown_<kind>` for the unknowns."""
    wanted = [(kind, kind, count_per_class) for kind in CLASSES]
    wanted += [(kind, f"unknown_{kind}", unknowns_per_kind) for kind in UNKNOWNS]
    named = [(f"{folder}/{number:05d}.png", kind) for kind, folder, count in wanted for number in range(count)]
    return [Order(file, kind, seed, index) for index, (file, kind) in enumerate(named)]


def mixed_stream(count: int, unknown_share: float, seed: int) -> list[Order]:
    """One flat folder in random order, as a line would see it: half of the known labels are good."""
    rng = np.random.default_rng([seed, 0xF1A7])
    unknown = rng.random(count) < unknown_share
    shares = [1 / 6, 1 / 6, 1 / 6, 1 / 2]
    kinds = np.where(unknown, rng.choice(UNKNOWNS, count), rng.choice(CLASSES, count, p=shares))
    return [Order(f"{index:06d}.png", str(kind), seed, index) for index, kind in enumerate(kinds)]


def write(orders: list[Order], folder: Path, *, masks: bool, workers: int, style: Style = TRAINING) -> Iterator[Order]:
    """Render all orders into `folder`, yielding each when its image is written; `truth.csv` is written last.

    The bytes do not depend on `workers`. Raises OSError if the disk refuses.
    """
    for parent in {(folder / order.file).parent for order in orders}:
        parent.mkdir(parents=True, exist_ok=True)
    if masks:
        for parent in {(folder / "masks" / order.file).parent for order in orders}:
            parent.mkdir(parents=True, exist_ok=True)
    rows = []
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_one_thread) as pool:
        jobs = ((order, folder, masks, style) for order in orders)
        for order, row in zip(orders, pool.imap(_make, jobs, chunksize=8), strict=True):
            rows.append(row)
            yield order
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, TRUTH_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _make(job: tuple[Order, Path, bool, Style]) -> dict[str, object]:
    order, folder, masks, style = job
    sample = render(order.kind, np.random.default_rng([order.seed, order.index]), style)
    _write_png(folder / order.file, sample.image)
    if masks:
        _write_png(folder / "masks" / order.file, sample.fault_mask)
    return {
        "file": order.file,
        "class": sample.label_class,
        "kind": sample.kind,
        "severity": round(sample.severity, 4),
        "polygon": json.dumps(np.round(sample.polygon, 2).tolist()),
        "text": json.dumps(sample.text),
        "seed": json.dumps([order.seed, order.index]),
        "parameters": json.dumps(sample.parameters),
    }


def _write_png(path: Path, image: np.ndarray) -> None:
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"{path}: can't be written")
