"""A folder of composed photos: images, masks, `provenance.csv`, `sources.csv` and the review sheet."""

import csv
import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import cv2
import numpy as np

from inspectd.errors import ConfigError
from inspectd_tools.data.manifest import relative
from inspectd_tools.synthetic.compose.compose import Assets, compose
from inspectd_tools.synthetic.compose.config import ComposeConfig
from inspectd_tools.synthetic.compose.extraction import (
    PART_CELLS,
    Background,
    Prepared,
    Source,
    context,
    fits,
    load_backgrounds,
    load_templates,
    prepare,
    sources_of,
)
from inspectd_tools.synthetic.compose.matching import Template

PROVENANCE_COLUMNS = ("file", "class", "mask", "photo", "ground", "background", "seed", "parameters")
SOURCE_COLUMNS = ("photo", "sha256", "class", "used_as", "discarded", "parameters")


@dataclass(frozen=True, slots=True)
class Order:
    """One image to be made, from `(seed, index)`, whoever makes it."""

    file: str
    class_: str
    seed: int
    index: int


def orders(config: ComposeConfig, count_per_class: int, seed: int) -> list[Order]:
    names = [(name, number) for name in config.classes for number in range(count_per_class)]
    return [
        Order(f"{name}/{number:05d}.{config.format}", name, seed, index) for index, (name, number) in enumerate(names)
    ]


def prepare_all(config: ComposeConfig, workers: int) -> Iterator[tuple[int, Prepared]]:
    """Every photo, with how many there are. Raises ConfigError."""
    sources, what = sources_of(config), (config, load_templates(config), load_backgrounds(config))
    context_ = multiprocessing.get_context("spawn")
    with context_.Pool(workers, initializer=_begin_preparing, initargs=what) as pool:
        for prepared in pool.imap(_prepare, sources, chunksize=2):
            yield len(sources), prepared


def gather(config: ComposeConfig, prepared: Sequence[Prepared]) -> Assets:
    """What all photos together give. Raises ConfigError where a class has nothing to be made of."""
    backgrounds = load_backgrounds(config)
    grounds = [entry.ground for entry in prepared if entry.ground is not None]
    for ground in grounds if backgrounds else ():
        assert ground.cut is not None
        rows, columns = context(ground.cut, ground.image, PART_CELLS)
        for background in backgrounds:
            height, width = background.image.shape
            if rows.stop - rows.start > height or columns.stop - columns.start > width:
                raise ConfigError(
                    f"part.backgrounds: {background.photo} is smaller than what is cut out of {ground.photo}"
                )
    if not grounds:
        raise ConfigError(f"ground.classes: no photo of {', '.join(config.ground.classes)} can be used{_why(prepared)}")
    stamps = {
        name: [
            entry.stamp
            for entry in prepared
            if entry.stamp is not None
            and entry.source.class_ == name
            and any(fits(entry.stamp, ground) for ground in grounds)
        ]
        for name in config.classes
    }
    for name, found in stamps.items():
        if not found:
            of_class = [entry for entry in prepared if entry.source.class_ == name]
            raise ConfigError(f"classes.{name}: no photo of it can be used{_why(of_class)}")
    return Assets(stamps, grounds, backgrounds)


def write_composed(
    config: ComposeConfig, assets: Assets, orders: Sequence[Order], folder: Path, workers: int
) -> Iterator[Order]:
    """Compose all orders into `folder`, yielding each when its image is written; `provenance.csv` is written last.

    The bytes do not depend on `workers`. Raises OSError if the disk refuses.
    """
    for parent in {(folder / order.file).parent for order in orders}:
        parent.mkdir(parents=True, exist_ok=True)
        (folder / "masks" / parent.name).mkdir(parents=True, exist_ok=True)
    rows = []
    with composing_pool(config, assets, workers) as pool:
        jobs = ((order, folder) for order in orders)
        for order, row in zip(orders, pool.imap(_make, jobs, chunksize=8), strict=True):
            rows.append(row)
            yield order
    with (folder / "provenance.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, PROVENANCE_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_sources(prepared: Sequence[Prepared], assets: Assets, folder: Path) -> None:
    """Every photo that was looked at, by its content too: so that `mix` knows it wherever it lies. Raises OSError."""
    with (folder / "sources.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SOURCE_COLUMNS)
        writer.writeheader()
        for entry in prepared:
            stamp, ground = entry.stamp, entry.ground
            uses = [name for name, use in (("print or fault", stamp), ("ground", ground)) if use is not None]
            writer.writerow(
                {
                    "photo": relative(entry.source.path, folder),
                    "sha256": _sha256(entry.source.path),
                    "class": entry.source.class_,
                    "used_as": " and ".join(uses),
                    "discarded": "; ".join(entry.discards),
                    "parameters": json.dumps(stamp.found if stamp else {}),
                }
            )
        for path in (background.photo for background in assets.backgrounds):
            row = dict.fromkeys(SOURCE_COLUMNS, "")
            writer.writerow(row | {"photo": relative(path, folder), "sha256": _sha256(path), "used_as": "background"})


def composing_pool(config: ComposeConfig, assets: Assets, workers: int) -> Pool:
    context_ = multiprocessing.get_context("spawn")
    return context_.Pool(workers, initializer=_begin_composing, initargs=(config, assets))


_preparing: tuple[ComposeConfig, dict[str, Template], list[Background]]
_composing: tuple[ComposeConfig, Assets]


def _begin_preparing(config: ComposeConfig, templates: dict[str, Template], backgrounds: list[Background]) -> None:
    global _preparing
    cv2.setNumThreads(1)
    _preparing = config, templates, backgrounds


def _prepare(source: Source) -> Prepared:
    return prepare(source, *_preparing)


def _begin_composing(config: ComposeConfig, assets: Assets) -> None:
    global _composing
    cv2.setNumThreads(1)
    _composing = config, assets


def _make(job: tuple[Order, Path]) -> dict[str, object]:
    order, folder = job
    config, assets = _composing
    made = compose(order.class_, assets, config, np.random.default_rng([order.seed, order.index]))
    mask = f"masks/{order.class_}/{Path(order.file).stem}.png"
    write_image(folder / order.file, made.image)
    write_image(folder / mask, made.mask)
    return {
        "file": order.file,
        "class": order.class_,
        "mask": mask,
        "photo": relative(made.stamp.photo, folder),
        "ground": relative(made.ground.photo, folder),
        "background": relative(made.background, folder) if made.background else "",
        "seed": json.dumps([order.seed, order.index]),
        "parameters": json.dumps(made.parameters),
    }


def write_image(path: Path, image: np.ndarray) -> None:
    """Raises OSError. Run lengths alone are as small as zlib's level 1 on noisy photos, in less than half the time."""
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]):
        raise OSError(f"{path}: can't be written")


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # discarded for that very reason
        return ""


def _why(prepared: Sequence[Prepared]) -> str:
    reasons = [f"{entry.source.path.name}: {'; '.join(entry.discards)}" for entry in prepared if entry.discards]
    return ":\n  " + "\n  ".join(reasons[:10]) if reasons else ""
