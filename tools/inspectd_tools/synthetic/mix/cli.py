"""`synthesize.py mix`."""

import argparse
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from inspectd.terminal import console
from inspectd_tools.cli import Verbs, add_verb, not_negative
from inspectd_tools.data.manifest import SPLITS, DataManifest, Split, read_manifest, write_manifest
from inspectd_tools.synthetic.mix.mix import Share, mix
from inspectd_tools.synthetic.mix.synthetic_folder import read_synthetic

_EPILOG = """\
examples:
  12 synthetic and 36 real photos per class for training, real ones for validation and test:
    python tools/synthesize.py mix photos.csv mixed.csv --synthetic out/composed --train 12 0.25
  only synthetic photos for training, only real ones for validation:
    python tools/synthesize.py mix photos.csv mixed.csv --synthetic out/composed --train 200 1
  20 real photos per class and no synthetic ones; class `free` keeps all its photos; the rest joins the test photos:
    python tools/synthesize.py mix tiles.csv tiles20.csv --train 20 0 --keep free --rest-to-test

These rules are checked:
- RATIO is synthetic / (real + synthetic), from 0 to 1.
- N * (1 - RATIO) / RATIO is a whole number, and there are that many real photos.
- The test photos are real.
- A composed image is made only from photos of the split that it goes to, never from a test photo.
- Photos of one group stay in one split.

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the photos cannot be mixed in this way"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; its help explains each field."""

    real: Path
    out: Path
    synthetic: list[Path]
    train: list[str] | None
    val: list[str] | None
    keep: list[str]
    rest_to_test: bool
    seed: int


def add_mix(verbs: Verbs) -> None:
    verb = add_verb(
        verbs, "mix", "make a data manifest of real and synthetic photos; the test photos stay real", _EPILOG
    )
    verb.add_argument("real", type=Path, help="data manifest of the real photos (prepare_data.py)")
    verb.add_argument("out", type=Path, help="the manifest to write")
    verb.add_argument(
        "--synthetic",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of `compose` or `render`, or images/ of gan.py; may be repeated, if --train and --val use different ones",
    )
    for side in ("train", "val"):
        verb.add_argument(
            f"--{side}",
            nargs=2,
            metavar=("N", "RATIO"),
            help="N synthetic images per class and N * (1 - RATIO) / RATIO real ones; with RATIO 0, N real ones. "
            "Default: all real ones",
        )
    verb.add_argument(
        "--keep", action="append", default=[], metavar="CLASS", help="leave the real photos of this class as they are"
    )
    verb.add_argument(
        "--rest-to-test",
        action="store_true",
        help="real photos that are not used join the test photos, unless a photo of their group is used",
    )
    verb.add_argument("--seed", type=not_negative, default=0, help="decides which photos are used; default: 0")
    verb.set_defaults(verb=lambda given: _mix(Options(**given), verb))


def _mix(options: Options, verb: argparse.ArgumentParser) -> None:
    given: dict[Split, list[str] | None] = {"train": options.train, "val": options.val}
    try:
        shares = {side: Share(int(values[0]), float(values[1])) for side, values in given.items() if values is not None}
    except ValueError as error:
        verb.error(f"--train, --val: N must be a whole number, RATIO a number: {error}")
    if not shares:
        verb.error("nothing to mix: give --train N RATIO, --val N RATIO or both")
    if os.path.realpath(options.out) == os.path.realpath(options.real):
        verb.error(f"{options.out}: is the manifest of the real photos; give another name")
    real = read_manifest(options.real)
    synthetic = [read_synthetic(folder, real.classes) for folder in options.synthetic]
    mixed = mix(real, synthetic, shares, keep=options.keep, rest_to_test=options.rest_to_test, seed=options.seed)
    write_manifest(mixed, options.out)
    console().print(_table(real, mixed, options.out))


def _table(real: DataManifest, mixed: DataManifest, out: Path) -> Table:
    table = Table("class", *(f"{side}: real + synthetic" for side in SPLITS), title=str(out))
    known = {photo.path.resolve() for photo in real.photos}
    counts = Counter((photo.label, photo.split, photo.path.resolve() in known) for photo in mixed.photos)
    for label, name in enumerate(mixed.names):
        table.add_row(name, *(f"{counts[label, side, True]} + {counts[label, side, False]}" for side in SPLITS))
    return table
