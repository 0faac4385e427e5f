"""A folder of composed photos: images, masks, `provenance.csv`, `sources.csv` and the review sheet."""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspectd.errors import ConfigError
from inspectd_tools.data.manifest import relative
from inspectd_tools.synthetic.compose.compose import Assets, compose
from inspectd_tools.synthetic.compose.config import ComposeConfig
from inspectd_tools.synthetic.compose.extraction import PART_CELLS, Prepared, context, fits, prepare
from inspectd_tools.synthetic.compose.matching import Template
from inspectd_tools.synthetic.compose.photos import Background, Source, load_backgrounds, load_templates, sources_of
from inspectd_tools.synthetic.dataset import write_dataset, write_image, write_table

PROVENANCE_COLUMNS = ("file", "class", "mask", "photo", "ground", "background", "seed", "parameters")
SOURCE_COLUMNS = ("photo", "sha256", "class", "used_as", "discarded", "parameters")
FAST_PNG = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
"""Run lengths alone: on noisy photos the files are as small as with zlib level 1, in less than half the time."""


@dataclass(frozen=True, slots=True)
class Order:
    """One image to compose. Its bytes depend only on `class_`, `seed` and `index`, not on the process that composes it."""

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
    """Prepare every photo; each comes with the number of all photos. Raises ConfigError."""
    sources, what = sources_of(config), (config, load_templates(config), load_backgrounds(config))
    context_ = multiprocessing.get_context("spawn")
    with context_.Pool(workers, initializer=_begin_preparing, initargs=what) as pool:
        for prepared in pool.imap(_prepare, sources, chunksize=2):
            yield len(sources), prepared


def gather(config: ComposeConfig, prepared: Sequence[Prepared]) -> Assets:
    """Collect what all photos give. Raises ConfigError naming a class for which no photo can be used."""
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

    The bytes do not depend on `workers`. Raises OSError if a file cannot be written.
    """
    for parent in {(folder / order.file).parent for order in orders}:
        parent.mkdir(parents=True, exist_ok=True)
        (folder / "masks" / parent.name).mkdir(parents=True, exist_ok=True)
    context_ = multiprocessing.get_context("spawn")
    with context_.Pool(workers, initializer=_begin_composing, initargs=(config, assets)) as pool:
        jobs = ((order, folder) for order in orders)
        yield from write_dataset(pool, _make, jobs, orders, folder / "provenance.csv", PROVENANCE_COLUMNS)


def write_sources(prepared: Sequence[Prepared], assets: Assets, folder: Path) -> None:
    """List every photo in `sources.csv`, with its hash, so that `mix` recognises it in any folder. Raises OSError."""
    rows: list[dict[str, str]] = []
    for entry in prepared:
        stamp, ground = entry.stamp, entry.ground
        uses = [name for name, use in (("print or fault", stamp), ("ground", ground)) if use is not None]
        rows.append(
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
        rows.append(row | {"photo": relative(path, folder), "sha256": _sha256(path), "used_as": "background"})
    write_table(folder / "sources.csv", SOURCE_COLUMNS, rows)


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
    write_image(folder / order.file, made.image, *FAST_PNG)
    write_image(folder / mask, made.mask, *FAST_PNG)
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


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # the photo was discarded for this reason
        return ""


def _why(prepared: Sequence[Prepared]) -> str:
    reasons = [f"{entry.source.path.name}: {'; '.join(entry.discards)}" for entry in prepared if entry.discards]
    return ":\n  " + "\n  ".join(reasons[:10]) if reasons else ""
