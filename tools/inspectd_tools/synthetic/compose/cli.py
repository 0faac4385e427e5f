"""`synthesize.py compose` and `compose pick`."""

import argparse
import os
import time
from collections import Counter
from pathlib import Path

from rich.table import Table

from inspectd.terminal import console, progress_bar
from inspectd_tools.changes import add_set_option
from inspectd_tools.cli import not_negative, positive, refuse_used_folder
from inspectd_tools.synthetic.compose.config import load_compose_config
from inspectd_tools.synthetic.compose.dataset import gather, orders, prepare_all, write_composed, write_sources
from inspectd_tools.synthetic.compose.extraction import Prepared
from inspectd_tools.synthetic.compose.pick import pick

_COMPOSE = """\
examples:
  python tools/synthesize.py render out/plant --style plant --count-per-class 70 --unknowns-per-kind 70 --seed 7
  python tools/synthesize.py compose config/compose-filter-label.yaml out/composed --count-per-class 200 --seed 1
  python tools/synthesize.py compose config/compose-magnetic-tile.yaml out/tiles --set photos=out/tiles20.csv

The folder then holds <class>/*.png, masks/, provenance.csv (what each image is made of), sources.csv (what each photo
gave, or why it was discarded) and review.png: look at that before you train.

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the config or the photos can't be used"""

_PICK = """\
examples:
  python tools/synthesize.py compose pick photos/no_fail/17.png --name label       draw it with the mouse
  python tools/synthesize.py compose pick photos/no_fail/17.png --name label --box 134,137,372,206

exit codes: 0 done, 2 wrong usage, 78 no such photo, box or window"""


def add_compose(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "compose",
        help="lift prints or faults from real photos and put them onto others; `compose pick` marks templates",
        epilog=_COMPOSE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, help="what to lift and where it may go (YAML)")
    parser.add_argument("out", type=Path, help="a new or empty folder")
    parser.add_argument("--count-per-class", type=positive, default=100, metavar="N", help="default: 100")
    add_set_option(parser, "the config")
    parser.add_argument("--seed", type=not_negative, default=0, help="same seed, same bytes; default: 0")
    parser.add_argument(
        "--workers", type=positive, default=os.cpu_count(), metavar="N", help="processes; default: all cores"
    )
    parser.set_defaults(verb=_compose)
    picker = verbs.add_parser(
        PICK,
        help="mark a template in a photo, with the mouse or by coordinates",
        epilog=_PICK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    picker.add_argument("photo", type=Path)
    picker.add_argument("--name", default="label", help="of the template; default: label")
    picker.add_argument("--box", type=_box, metavar="LEFT,TOP,WIDTH,HEIGHT", help="in px, instead of the mouse")
    picker.set_defaults(verb=_pick)


PICK = "compose pick"


def _compose(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from inspectd_tools.synthetic.compose.review_sheet import (
        write_sheet,  # draws with matplotlib, which `render` does without
    )

    refuse_used_folder(parser, args.out)
    config = load_compose_config(args.config, args.changes)
    wanted = orders(config, args.count_per_class, args.seed)
    prepared: list[Prepared] = []
    with progress_bar() as progress:
        task = progress.add_task("find and lift", total=None)
        for total, entry in prepare_all(config, args.workers):
            prepared.append(entry)
            progress.update(task, total=total, completed=len(prepared))
        assets = gather(config, prepared)
        start_s = time.monotonic()
        task = progress.add_task("compose", total=len(wanted))
        for _ in write_composed(config, assets, wanted, args.out, args.workers):
            progress.advance(task)
    seconds = time.monotonic() - start_s
    write_sources(prepared, assets, args.out)
    write_sheet(prepared, wanted, args.out)
    console().print(_table(prepared, Counter(order.class_ for order in wanted)))
    print(f"{len(wanted)} images in {seconds:.1f} s ({len(wanted) / seconds:.0f}/s) -> {args.out}; look at review.png")


def _table(prepared: list[Prepared], made: Counter[str]) -> Table:
    table = Table("class", "photos", "prints or faults", "grounds", "composed")
    for name in dict.fromkeys(entry.source.class_ for entry in prepared):
        of_class = [entry for entry in prepared if entry.source.class_ == name]
        stamps, grounds = (sum(getattr(entry, use) is not None for entry in of_class) for use in ("stamp", "ground"))
        table.add_row(name, str(len(of_class)), str(stamps), str(grounds), str(made[name]))
    discarded = sum(bool(entry.discards) for entry in prepared)
    table.caption = f"{discarded} photos discarded; sources.csv says why" if discarded else None
    return table


def _pick(args: argparse.Namespace, _: argparse.ArgumentParser) -> None:
    print(pick(args.photo, args.name, args.box))


def _box(text: str) -> tuple[int, int, int, int]:
    parts = [int(part) for part in text.split(",")]
    if len(parts) != 4 or min(parts[:2]) < 0 or min(parts[2:]) < 8:
        raise argparse.ArgumentTypeError(f"{text!r}: must be LEFT,TOP,WIDTH,HEIGHT in px, at least 8 wide and high")
    left, top, width, height = parts
    return left, top, width, height
