"""Split a folder of photos into train, val and test: a manifest is written, nothing is copied.

Folders whose names begin with `unknown_` hold what the model must not know: some for choosing the threshold (val), some
for the test, none for training. Photos of the same thing (equal files, near-duplicates, one source cut several ways) stay in one split, so that the
test says how the model does on photos it has not seen.
"""

import argparse
import re
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
from rich.table import Table

from inspectd.errors import ConfigError
from inspectd.terminal import console
from inspectd_tools.cli import exit_code, not_negative, positive
from inspectd_tools.data.manifest import SPLITS, UNKNOWN, DataManifest, Photo, Split, write_manifest
from inspectd_tools.data.report import report_page
from inspectd_tools.data.scan import Seen, class_folders, class_photos, look_at
from inspectd_tools.data.split import SHARES, group, split
from inspectd_tools.data.stream import write_stream

_EPILOG = """\
examples:
  python tools/prepare_data.py photos/bottles --out bottles.csv --report bottles.png --stream out/bottles
  python tools/prepare_data.py photos/tiles --out tiles.csv --per-class 50 --suffix '_[0-9]+'
      tile7_1.png and tile7_2.png are two photos of tile7
  python tools/prepare_data.py imagenet/train --out ten.csv --classes n01440764,n02102040,... --per-class 600 --shares 500,50,50
      five hundred photos of each of ten classes to train with, fifty and fifty to choose and to test with
  python tools/prepare_data.py photos/tiles --out few.csv --few 20 --held-out crack
      how far would 20 photos a class go, and would a crack be rejected if none had ever been seen?
  python tools/prepare_data.py cifar10 --out cifar10.csv --fixed-test
      cifar10/train/<class> and cifar10/test/<class>: the test stays, 20 % of train become val

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the photos can't be used"""

_FIXED_TEST_VAL_SHARE = 0.2
_NAMED = 10
"""Photos that can't be used, of all that there may be."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder with one folder of photos (png, jpg, bmp, tif) a class")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="the manifest to write")
    parser.add_argument(
        "--classes",
        type=lambda text: tuple(text.split(",")),
        help="class folders in the order of the scores; default: all, by name",
    )
    parser.add_argument(
        "--shares",
        type=_shares,
        default=SHARES,
        metavar="TRAIN,VAL,TEST",
        help="in parts of any size; default: 80,10,10",
    )
    parser.add_argument(
        "--held-out",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="CLASSES",
        help="classes to play the unknown: would a fault be rejected that nobody had a photo of?",
    )
    parser.add_argument(
        "--few",
        type=three_or_more,
        metavar="N",
        help="keep N photos a class in train and val together, and the whole test: what would so few be worth?",
    )
    parser.add_argument("--per-class", type=three_or_more, metavar="N", help="take at most N photos a class, at random")
    parser.add_argument(
        "--suffix", type=_pattern, metavar="REGEX", help="end of file names that differs between photos of one source"
    )
    parser.add_argument(
        "--burst",
        type=positive,
        metavar="N",
        help="photos whose names end in numbers at most N apart are frames of the same thing, one after another",
    )
    parser.add_argument(
        "--near",
        type=int,
        default=10,
        metavar="BITS",
        choices=range(-1, 129),
        help="photos whose 256-bit hashes differ in at most BITS show the same thing; -1: never; default: 10",
    )
    parser.add_argument(
        "--fixed-test", action="store_true", help="root holds train/ and test/, each with the class folders"
    )
    parser.add_argument("--seed", type=not_negative, default=0, help="of sampling and split; default: 0")
    parser.add_argument(
        "--stream",
        type=Path,
        metavar="FOLDER",
        help="new folder of links to the test photos, mixed, for `inspectd demo`",
    )
    parser.add_argument("--report", type=Path, metavar="PNG", help="a page of examples, counts and histograms")
    args = parser.parse_args(arguments)
    if args.stream and args.stream.exists():
        parser.error(f"--stream {args.stream}: exists; give a new folder")
    return exit_code("prepare_data", lambda: _prepare(args))


def _prepare(args: argparse.Namespace) -> None:
    trees = [args.root / "train", args.root / "test"] if args.fixed_test else [args.root]
    there = sorted({name for tree in trees for name in class_folders(tree)})
    chosen = args.classes or tuple(name for name in there if not name.startswith(UNKNOWN))
    for name in args.held_out:
        if name not in chosen:
            raise ConfigError(f"--held-out {name}: is none of the classes {', '.join(chosen)}")
    classes = tuple(name for name in chosen if name not in args.held_out)
    if len(classes) < 2:
        raise ConfigError(f"{args.root}: must hold folders of at least two classes, has {', '.join(classes)}")
    unknown = tuple(name for name in there if name.startswith(UNKNOWN))
    folders = (*classes, *args.held_out, *unknown)
    names = (*classes, *(UNKNOWN + name for name in args.held_out), *unknown)
    seen: list[list[Seen]] = []
    broken: dict[Path, str] = {}
    for tree in trees:
        readable, unreadable = look_at(_sample(class_photos(tree, folders), args.per_class, args.seed))
        seen.append(readable)
        broken |= unreadable
    for reason in list(broken.values())[:_NAMED]:
        print(f"prepare_data: {reason}; left out", file=sys.stderr)
    if len(broken) > _NAMED:
        print(f"prepare_data: {len(broken) - _NAMED} more photos that can't be used; left out", file=sys.stderr)
    photos = _with_fixed_test(seen, args, names) if args.fixed_test else _split(seen[0], args, names)
    if args.few:
        photos = _few(photos, args)
    manifest = DataManifest(names, tuple(photos))
    write_manifest(manifest, args.out)
    console().print(_table(manifest, args.out))
    if args.stream:
        write_stream(manifest, args.stream, args.seed)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        report_page(manifest, chain(*seen), list(broken)).savefig(args.report, dpi=80)


def _sample(files: list[tuple[Path, int]], per_class: int | None, seed: int) -> list[tuple[Path, int]]:
    if per_class is None:
        return files
    rng = np.random.default_rng(seed)
    kept: set[int] = set()
    for label in sorted({label for _, label in files}):
        places = [place for place, file in enumerate(files) if file[1] == label]
        kept.update(rng.permutation(places)[:per_class].tolist())
    return [files[place] for place in sorted(kept)]


def _split(seen: list[Seen], args: argparse.Namespace, names: tuple[str, ...]) -> list[Photo]:
    groups = group(seen, args.suffix, args.near if args.near >= 0 else None, args.burst)
    _refuse_two_labels(seen)
    sides = split([photo.label for photo in seen], groups, names, args.seed, args.shares)
    return [_photo(*entry) for entry in zip(seen, sides, groups, strict=True)]


def _few(photos: list[Photo], args: argparse.Namespace) -> list[Photo]:
    """At most `--few` photos a class to train and validate with, shared as `--shares` says; every test photo."""
    rng = np.random.default_rng(args.seed)
    n_val = max(1, round(args.few * args.shares["val"] / (args.shares["train"] + args.shares["val"])))
    left = Counter({"train": args.few - n_val, "val": n_val})
    taken: Counter[tuple[int, Split]] = Counter()
    kept = set()
    for place in rng.permutation(len(photos)).tolist():
        side = photos[place].split
        taken[photos[place].label, side] += 1
        if side == "test" or taken[photos[place].label, side] <= left[side]:
            kept.add(place)
    return [photo for place, photo in enumerate(photos) if place in kept]


def _with_fixed_test(seen: list[list[Seen]], args: argparse.Namespace, names: tuple[str, ...]) -> list[Photo]:
    """The published split: only the validation part is ours to draw. Unknowns beside the training photos go there whole."""
    train, test = seen
    rng = np.random.default_rng(args.seed)
    val: set[int] = set()
    for label, name in enumerate(names):
        places = rng.permutation([place for place, photo in enumerate(train) if photo.label == label])
        share = 1 if name.startswith(UNKNOWN) else _FIXED_TEST_VAL_SHARE
        val.update(places[: max(1, round(share * len(places)))].tolist())
    sides: list[Split] = ["val" if place in val else "train" for place in range(len(train))]
    photos = [*zip(train, sides, strict=True), *((photo, SPLITS[2]) for photo in test)]
    return [_photo(photo, side, f"{side}/{photo.path.parent.name}/{photo.path.name}") for photo, side in photos]


def _refuse_two_labels(seen: list[Seen]) -> None:
    first: dict[str, Seen] = {}
    for photo in seen:
        other = first.setdefault(photo.sha256, photo)
        if other.label != photo.label:
            raise ConfigError(f"{photo.path}: is the same file as {other.path}, of another class; delete the wrong one")


def _photo(seen: Seen, side: Split, group_name: str) -> Photo:
    return Photo(seen.path, seen.label, side, group_name, seen.sha256)


def _table(manifest: DataManifest, out: Path) -> Table:
    shared = Counter(photo.group for photo in manifest.photos)
    together = sum(count for count in shared.values() if count > 1)
    table = Table("class", *SPLITS, title=str(out), caption=f"{together} photos share a group with another")
    for label, name in enumerate(manifest.names):
        table.add_row(name, *(str(manifest.count(label, split)) for split in SPLITS))
    return table


def three_or_more(text: str) -> int:
    number = int(text)
    if number < 3:
        raise argparse.ArgumentTypeError("must be at least 3: one photo for each of train, val and test")
    return number


def _shares(text: str) -> dict[Split, float]:
    parts = [float(part) for part in text.split(",")]
    if len(parts) != len(SPLITS) or not all(0 < part < float("inf") for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: must be three positive numbers, such as 80,10,10")
    return {side: part / sum(parts) for side, part in zip(SPLITS, parts, strict=True)}


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
