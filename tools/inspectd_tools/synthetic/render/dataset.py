"""A folder of rendered labels: images, `truth.csv` and, if wanted, masks."""

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspectd_tools.synthetic.dataset import write_dataset, write_image
from inspectd_tools.synthetic.render.label import CLASSES, UNKNOWNS, WRONG_TEXT_CLASS, class_of, kinds, render
from inspectd_tools.synthetic.render.label_text import LabelText, texts_of_jobs
from inspectd_tools.synthetic.render.severity import Severity
from inspectd_tools.synthetic.render.style import TRAINING, Style
from inspectd_tools.synthetic.render.wrong_text import WRONG_TEXTS

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
    "expected",
    "seed",
    "parameters",
)
_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True)
class Order:
    """One image to render. Its bytes do not depend on the process that renders it, nor on `file`."""

    file: str
    kind: str
    seed: int
    index: int
    expected: LabelText | None = None
    """What the label should say; None: something random."""


def folders_of_classes(
    count_per_class: int, unknowns_per_kind: int, wrong_texts_per_kind: int, seed: int, severity: Severity
) -> list[Order]:
    """One folder per class, `unknown_<kind>` for the unknown labels, and `fail_label_date/<kind>` for the wrong texts."""
    counts = {"unknown": unknowns_per_kind, WRONG_TEXT_CLASS: wrong_texts_per_kind}
    folders = {"unknown": "unknown_{}", WRONG_TEXT_CLASS: WRONG_TEXT_CLASS + "/{}"}
    wanted = [
        (kind, folders.get(class_of(kind), kind).format(kind), counts.get(class_of(kind), count_per_class))
        for kind in kinds(severity)
    ]
    named = [(f"{folder}/{number:05d}.png", kind) for kind, folder, count in wanted for number in range(count)]
    return [Order(file, kind, seed, index) for index, (file, kind) in enumerate(named)]


def mixed_stream(
    count: int,
    unknown_share: float,
    seed: int,
    severity: Severity = "all",
    wrong_text_share: float = 0.0,
    jobs: int = 0,
) -> list[Order]:
    """One flat folder in random order, as on a line: half of the known labels are good.

    `wrong_text_share`: of the labels that are not unknown. `jobs`: so many jobs follow each other (`texts_of_jobs`); 0: every
    label says something else.
    """
    rng = np.random.default_rng([seed, 0xF1A7])
    unknown = rng.random(count) < unknown_share
    shares = [1 / 6, 1 / 6, 1 / 6, 1 / 2]
    unknowns = [kind for kind in kinds(severity) if kind in UNKNOWNS]
    drawn = np.where(unknown, rng.choice(unknowns, count), rng.choice(CLASSES, count, p=shares))
    wrong = ~unknown & (rng.random(count) < wrong_text_share)
    drawn = np.where(wrong, rng.choice(WRONG_TEXTS, count), drawn)
    expected = texts_of_jobs(count, jobs, rng) if jobs else [None] * count
    return [
        Order(f"{index:06d}.png", str(kind), seed, index, text)
        for index, (kind, text) in enumerate(zip(drawn, expected, strict=True))
    ]


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
    rng = np.random.default_rng([order.seed, order.index])
    sample = render(order.kind, rng, style, severity, order.expected)
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
        "expected": json.dumps(sample.expected),
        "seed": json.dumps([order.seed, order.index]),
        "parameters": json.dumps(sample.parameters),
    }
