"""`synthesize.py render`."""

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from inspectd.terminal import progress_bar
from inspectd_tools.cli import Verbs, add_verb, not_negative, refuse_used_folder, share
from inspectd_tools.synthetic.render.dataset import folders_of_classes, mixed_stream, write
from inspectd_tools.synthetic.render.severity import SEVERITIES, Severity
from inspectd_tools.synthetic.render.style import STYLES

_EXAMPLES = """\
examples:
  one folder per class, for training:
    python tools/synthesize.py render out/train --count-per-class 500 --seed 1
  one flat folder in random order as on a line, a tenth of it unknown:
    python tools/synthesize.py render out/labels --flat --count 400 --unknown-share 0.1 --seed 2
  a line that prints three jobs, sometimes with a wrong text:
    python tools/synthesize.py render out/labels --flat --count 400 --jobs 3 --wrong-text-share 0.1 --seed 2

exit codes: 0 done, 1 a file could not be written, 2 wrong usage"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; its help explains each field."""

    out: Path
    count_per_class: int
    unknowns_per_kind: int
    wrong_texts_per_kind: int
    flat: bool
    count: int
    unknown_share: float
    wrong_text_share: float
    jobs: int
    masks: bool
    style: str
    severity: Severity
    seed: int
    workers: int


def add_render(verbs: Verbs) -> None:
    verb = add_verb(verbs, "render", "draw labels, with their truth", _EXAMPLES)
    verb.add_argument("out", type=Path, help="a new or empty folder")
    verb.add_argument("--count-per-class", type=not_negative, default=100, metavar="N", help="default: 100")
    verb.add_argument("--unknowns-per-kind", type=not_negative, default=0, metavar="N", help="default: 0")
    verb.add_argument(
        "--wrong-texts-per-kind",
        type=not_negative,
        default=0,
        metavar="N",
        help="perfect prints that say something wrong, in fail_label_date/; not for training a network; default: 0",
    )
    verb.add_argument(
        "--flat",
        action="store_true",
        help="write one folder in random order; then --count, --unknown-share and --wrong-text-share say how many images",
    )
    verb.add_argument("--count", type=not_negative, default=400, metavar="N", help="with --flat; default: 400")
    verb.add_argument("--unknown-share", type=share, default=0.1, metavar="X", help="with --flat; default: 0.1")
    verb.add_argument("--wrong-text-share", type=share, default=0.0, metavar="X", help="with --flat; default: 0")
    verb.add_argument(
        "--jobs",
        type=not_negative,
        default=0,
        metavar="N",
        help="with --flat: the labels follow N print jobs in one font, as on a line; default: 0, each label says something else",
    )
    verb.add_argument("--masks", action="store_true", help="also write masks/: 255 where the fault is")
    verb.add_argument(
        "--style",
        choices=STYLES,
        default="training",
        help="plant: another fabric, font, light and camera, to use in place of real photos; default: training",
    )
    verb.add_argument(
        "--severity",
        choices=SEVERITIES,
        default="all",
        help="gross: only faults that are seen from afar, for training; small: only smaller ones, down to what a careful "
        "person would just reject; default: all",
    )
    verb.add_argument("--seed", type=not_negative, default=0, help="the same seed gives the same bytes; default: 0")
    verb.add_argument(
        "--workers", type=not_negative, default=os.cpu_count(), metavar="N", help="processes; default: all cores"
    )
    verb.set_defaults(verb=lambda given: _render(Options(**given), verb))


def _render(options: Options, verb: argparse.ArgumentParser) -> None:
    refuse_used_folder(verb, options.out)
    seed, severity, style = options.seed, options.severity, STYLES[options.style]
    if options.flat:
        orders = mixed_stream(
            options.count, options.unknown_share, seed, severity, options.wrong_text_share, options.jobs
        )
    else:
        counts = options.count_per_class, options.unknowns_per_kind, options.wrong_texts_per_kind
        orders = folders_of_classes(*counts, seed, severity)
    if options.flat and options.jobs:
        style = replace(style, fonts=style.fonts[:1])  # a line has one printer
    if not orders:
        verb.error("nothing to render: all counts are 0")
    start_s = time.monotonic()
    workers = max(1, options.workers)
    with progress_bar() as progress:
        task = progress.add_task("render", total=len(orders))
        rendered = write(orders, options.out, masks=options.masks, workers=workers, style=style, severity=severity)
        for _ in rendered:
            progress.advance(task)
    seconds = time.monotonic() - start_s
    print(f"{len(orders)} images in {seconds:.1f} s ({len(orders) / seconds:.0f}/s) -> {options.out}")
