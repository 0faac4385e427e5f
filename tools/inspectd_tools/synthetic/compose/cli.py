"""`synthesize.py compose` and `compose pick`."""

import argparse
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from inspectd.terminal import console, progress_bar
from inspectd_tools.changes import add_set_option
from inspectd_tools.cli import Verbs, add_verb, not_negative, positive, refuse_used_folder
from inspectd_tools.synthetic.compose.config import Box, load_compose_config
from inspectd_tools.synthetic.compose.dataset import gather, orders, prepare_all, write_composed, write_sources
from inspectd_tools.synthetic.compose.extraction import Prepared
from inspectd_tools.synthetic.compose.pick import pick

_COMPOSE = """\
examples:
  python tools/synthesize.py render out/plant --style plant --count-per-class 70 --unknowns-per-kind 70 --seed 7
  python tools/synthesize.py compose config/compose-filter-label.yaml out/composed --count-per-class 200 --seed 1
  python tools/synthesize.py compose config/compose-magnetic-tile.yaml out/tiles \\
      --set photos=$PWD/tiles.csv --set masks=$PWD/magnetic_tile/masks
      a relative path in the config, or in --set, starts at the folder of the config

The folder then holds <class>/*.png, masks/, provenance.csv (what each image is made from), sources.csv (how each photo was
used, or why it was discarded) and review.png. Look at review.png before you train.

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the config or the photos cannot be used"""

_PICK = """\
examples:
  python tools/synthesize.py compose pick photos/no_fail/17.png --name label       draw it with the mouse
  python tools/synthesize.py compose pick photos/no_fail/17.png --name label --box 134,137,372,206

exit codes: 0 done, 2 wrong usage, 78 there is no such photo, the box is not in it, or no window can be opened"""


PICK = "compose pick"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; its help explains each field."""

    config: Path
    out: Path
    count_per_class: int
    changes: list[str]
    seed: int
    workers: int


@dataclass(frozen=True, slots=True)
class PickOptions:
    photo: Path
    name: str
    box: Box | None


def add_compose(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "compose",
        "lift prints or faults from real photos and put them onto others; `compose pick` marks templates",
        _COMPOSE,
    )
    verb.add_argument("config", type=Path, help="what to lift and where to put it (YAML)")
    verb.add_argument("out", type=Path, help="a new or empty folder")
    verb.add_argument("--count-per-class", type=positive, default=100, metavar="N", help="default: 100")
    add_set_option(verb, "the config")
    verb.add_argument("--seed", type=not_negative, default=0, help="the same seed gives the same bytes; default: 0")
    verb.add_argument(
        "--workers", type=positive, default=os.cpu_count(), metavar="N", help="processes; default: all cores"
    )
    verb.set_defaults(verb=lambda given: _compose(Options(**given), verb))


def add_pick(verbs: Verbs) -> None:
    verb = add_verb(verbs, PICK, "mark a template in a photo, with the mouse or by coordinates", _PICK)
    verb.add_argument("photo", type=Path)
    verb.add_argument("--name", default="label", help="name of the template; default: label")
    verb.add_argument("--box", type=_box, metavar="LEFT,TOP,WIDTH,HEIGHT", help="in px, instead of the mouse")
    verb.set_defaults(verb=lambda given: _pick(PickOptions(**given)))


def _compose(options: Options, verb: argparse.ArgumentParser) -> None:
    # draws with matplotlib, which `render` does not need
    from inspectd_tools.synthetic.compose.review_sheet import write_sheet

    refuse_used_folder(verb, options.out)
    config = load_compose_config(options.config, options.changes)
    wanted = orders(config, options.count_per_class, options.seed)
    prepared: list[Prepared] = []
    with progress_bar() as progress:
        task = progress.add_task("find and lift", total=None)
        for total, entry in prepare_all(config, options.workers):
            prepared.append(entry)
            progress.update(task, total=total, completed=len(prepared))
        assets = gather(config, prepared)
        start_s = time.monotonic()
        task = progress.add_task("compose", total=len(wanted))
        for _ in write_composed(config, assets, wanted, options.out, options.workers):
            progress.advance(task)
    seconds = time.monotonic() - start_s
    write_sources(prepared, assets, options.out)
    write_sheet(prepared, wanted, options.out)
    console().print(_table(prepared, Counter(order.class_ for order in wanted)))
    rate = f"{seconds:.1f} s ({len(wanted) / seconds:.0f}/s)"
    print(f"{len(wanted)} images in {rate} -> {options.out}; look at review.png")


def _table(prepared: list[Prepared], made: Counter[str]) -> Table:
    table = Table("class", "photos", "prints or faults", "grounds", "composed")
    for name in dict.fromkeys(entry.source.class_ for entry in prepared):
        of_class = [entry for entry in prepared if entry.source.class_ == name]
        stamps, grounds = (sum(getattr(entry, use) is not None for entry in of_class) for use in ("stamp", "ground"))
        table.add_row(name, str(len(of_class)), str(stamps), str(grounds), str(made[name]))
    discarded = sum(bool(entry.discards) for entry in prepared)
    table.caption = f"{discarded} photos discarded; sources.csv says why" if discarded else None
    return table


def _pick(options: PickOptions) -> None:
    print(pick(options.photo, options.name, options.box))


def _box(text: str) -> Box:
    parts = [int(part) for part in text.split(",")]
    if len(parts) != 4 or min(parts[:2]) < 0 or min(parts[2:]) < 8:
        raise argparse.ArgumentTypeError(f"{text!r}: must be LEFT,TOP,WIDTH,HEIGHT in px, at least 8 wide and high")
    left, top, width, height = parts
    return left, top, width, height
