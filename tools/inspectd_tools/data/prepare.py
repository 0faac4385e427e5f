"""Split a folder of photos into train, val and test. The result is a manifest; no photo is copied.

Folders whose names begin with `unknown_` hold photos of which the model must be uncertain: some choose the threshold (val), some
test it, and none are trained with. Photos of the same thing (equal files, near-duplicates, one source cut in several ways) stay
in one split, so that the test photos are new to the model.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from rich.table import Table

from inspectd.camera.image_files import SUFFIXES, list_folders
from inspectd.errors import ConfigError
from inspectd.terminal import console
from inspectd_tools.cli import exit_code, names, new_parser, not_negative, positive
from inspectd_tools.data.manifest import SPLITS, UNKNOWN, DataManifest, Photo, Split, write_manifest
from inspectd_tools.data.report import report_page
from inspectd_tools.data.scan import Seen, class_folders, class_photos, look_at, refuse_two_labels
from inspectd_tools.data.split import SHARES, group, split
from inspectd_tools.data.stream import write_stream

_EPILOG = """\
examples:
  python tools/prepare_data.py photos/labels --out labels.csv --report labels.png --stream out/labels-test
  python tools/prepare_data.py photos/tiles --out tiles.csv --per-class 50 --suffix '_[0-9]+'
      tile7_1.png and tile7_2.png are two photos of tile7
  python tools/prepare_data.py imagenet/train --out ten.csv --classes n01440764,n02102040,... --per-class 600 --shares 500,50,50
      of each of ten classes, 500 photos to train with, 50 to choose with and 50 to test with
  python tools/prepare_data.py photos/tiles --out few.csv --few 20 --held-out crack
      measure: are 20 photos per class enough, and is a crack rejected that the model was not trained with?
  python tools/prepare_data.py cifar10 --out cifar10.csv --fixed-test
      cifar10/train/<class> and cifar10/test/<class>: the test stays as published, 20 % of train becomes val

exit codes: 0 done, 1 the disk reports an error, 2 wrong usage, 78 the photos can't be used"""

_FIXED_TEST_SHARES: dict[Split, float] = {"train": 0.8, "val": 0.2}
_NAMED = 10
"""How many photos that can't be used are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Options:
    root: Path
    out: Path
    classes: tuple[str, ...] | None
    shares: dict[Split, float]
    held_out: tuple[str, ...]
    few: int | None
    per_class: int | None
    suffix: re.Pattern[str] | None
    burst: int | None
    near: int
    fixed_test: bool
    seed: int
    stream: Path | None
    report: Path | None


def parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__, _EPILOG)
    parser.add_argument("root", type=Path, help="folder with one folder of photos (png, jpg, bmp, tif) per class")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="new manifest")
    parser.add_argument(
        "--classes",
        type=names,
        metavar="CLASSES",
        help="class folders in the order of the scores, with commas between them; default: all, by name",
    )
    parser.add_argument(
        "--shares",
        type=_shares,
        default=SHARES,
        metavar="TRAIN,VAL,TEST",
        help="how many photos go to each split, relative to the others; default: 80,10,10",
    )
    parser.add_argument(
        "--held-out",
        type=names,
        default=(),
        metavar="CLASSES",
        help="classes that become unknowns: measure whether a fault is rejected that the model was not trained with",
    )
    parser.add_argument(
        "--few",
        type=three_or_more,
        metavar="N",
        help="keep N photos per class in train and val together, and the whole test: measure whether so few are enough",
    )
    parser.add_argument(
        "--per-class", type=three_or_more, metavar="N", help="use at most N photos per class, chosen at random"
    )
    parser.add_argument(
        "--suffix",
        type=_pattern,
        metavar="REGEX",
        help="end of the file name that differs between photos of the same thing, in one folder or in several",
    )
    parser.add_argument(
        "--burst",
        type=positive,
        metavar="N",
        help="photos of one folder whose names end in numbers that differ by at most N are consecutive frames of the same "
        "thing, whatever is before the number; the numbers of two folders are not compared, because each may begin at 1",
    )
    parser.add_argument(
        "--near",
        type=int,
        default=10,
        metavar="BITS",
        choices=range(-1, 129),
        help="photos whose 256-bit hashes differ in at most BITS bits show the same thing; -1: never; default: 10",
    )
    parser.add_argument(
        "--fixed-test",
        action="store_true",
        help="root holds train/ and test/, each with the class folders; all of test/ is the test, and a photo of train/ that "
        "shows the same thing as a test photo is left out",
    )
    parser.add_argument("--seed", type=not_negative, default=0, help="seed of everything random; default: 0")
    parser.add_argument(
        "--stream",
        type=Path,
        metavar="FOLDER",
        help="new folder of links to the test photos in random order, for `inspectd demo`",
    )
    parser.add_argument("--report", type=Path, metavar="PNG", help="page of examples, counts and histograms to write")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    if options.out.is_file():
        parser().error(f"--out {options.out}: exists; give a new file, so that no manifest is lost")
    if options.stream and options.stream.exists():
        parser().error(f"--stream {options.stream}: exists; give a new folder")
    return exit_code("prepare_data", lambda: _prepare(options))


def _prepare(options: Options) -> None:
    trees = [options.root / "train", options.root / "test"] if options.fixed_test else [options.root]
    names, folders = _classes(options, trees)
    for tree in trees:
        _check_level(tree, folders)
    seen: list[list[Seen]] = []
    broken: dict[Path, str] = {}
    for tree in trees:
        readable, unreadable = look_at(_sample(class_photos(tree, folders), options.per_class, options.seed))
        seen.append(readable)
        broken |= unreadable
    _print_broken(list(broken.values()))
    photos = _with_fixed_test(seen, options, names) if options.fixed_test else _split(seen[0], options, names)
    if options.few:
        photos = _few(photos, options.few, options)
    manifest = DataManifest(names, tuple(photos))
    write_manifest(manifest, options.out)
    console().print(_table(manifest, options.out))
    if options.stream:
        write_stream(manifest, options.stream, options.seed)
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        report_page(manifest, chain(*seen), list(broken)).savefig(options.report, dpi=80)


def _classes(options: Options, trees: list[Path]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the labels, and the folder of each. Raises ConfigError."""
    there = sorted({name for tree in trees for name in class_folders(tree)})
    chosen = options.classes or tuple(name for name in there if not name.startswith(UNKNOWN))
    for name in options.held_out:
        if name not in chosen:
            raise ConfigError(f"--held-out {name}: is not one of the classes {', '.join(chosen)}")
    classes = tuple(name for name in chosen if name not in options.held_out)
    if len(classes) < 2:
        raise ConfigError(f"{options.root}: must hold folders of at least two classes, has {', '.join(classes)}")
    unknown = tuple(name for name in there if name.startswith(UNKNOWN))
    names = (*classes, *(UNKNOWN + name for name in options.held_out), *unknown)
    return names, (*classes, *options.held_out, *unknown)


def _check_level(root: Path, folders: Sequence[str]) -> None:
    """Raise ConfigError, or print a warning, if a class folder looks like a folder of class folders."""
    for folder in (root / name for name in folders if (root / name).is_dir()):
        inner = [path.name for path in list_folders(folder).found]
        unknown = [name for name in inner if name.startswith(UNKNOWN)]
        if unknown:
            raise ConfigError(
                f"{folder}: is taken for a class, but holds the folder {unknown[0]}, which is for unknowns; give the folder "
                f"that holds the class folders, probably {folder}"
            )
        if len(inner) > 1 and not any(path.suffix.lower() in SUFFIXES for path in folder.iterdir()):
            print(
                f"prepare_data: {folder}: is taken for one class; its photos are in the folders {', '.join(inner[:_NAMED])}; if "
                f"these are the classes, give {folder}",
                file=sys.stderr,
            )


def _print_broken(reasons: list[str]) -> None:
    for reason in reasons[:_NAMED]:
        print(f"prepare_data: {reason}; left out", file=sys.stderr)
    if len(reasons) > _NAMED:
        print(f"prepare_data: {len(reasons) - _NAMED} more photos can't be used; left out", file=sys.stderr)


def _sample(files: list[tuple[Path, int]], per_class: int | None, seed: int) -> list[tuple[Path, int]]:
    if per_class is None:
        return files
    rng = np.random.default_rng(seed)
    kept: set[int] = set()
    for label in sorted({label for _, label in files}):
        places = [place for place, file in enumerate(files) if file[1] == label]
        kept.update(rng.permutation(places)[:per_class].tolist())
    return [files[place] for place in sorted(kept)]


def _split(seen: list[Seen], options: Options, names: tuple[str, ...]) -> list[Photo]:
    groups = _groups(seen, options)
    sides = split([photo.label for photo in seen], groups, names, options.seed, options.shares)
    return [_photo(*entry) for entry in zip(seen, sides, groups, strict=True)]


def _groups(seen: list[Seen], options: Options) -> list[str]:
    refuse_two_labels((photo.path, photo.label, photo.sha256) for photo in seen)
    return group(seen, options.suffix, options.near if options.near >= 0 else None, options.burst)


def _few(photos: list[Photo], count: int, options: Options) -> list[Photo]:
    """At most `count` photos per class in train and val together, in the shares that were asked for; all test photos."""
    rng = np.random.default_rng(options.seed)
    n_val = max(1, round(count * options.shares["val"] / (options.shares["train"] + options.shares["val"])))
    left = Counter({"train": count - n_val, "val": n_val})
    taken: Counter[tuple[int, Split]] = Counter()
    kept = set()
    for place in rng.permutation(len(photos)).tolist():
        side = photos[place].split
        taken[photos[place].label, side] += 1
        if side == "test" or taken[photos[place].label, side] <= left[side]:
            kept.add(place)
    return [photo for place, photo in enumerate(photos) if place in kept]


def _with_fixed_test(seen: list[list[Seen]], options: Options, names: tuple[str, ...]) -> list[Photo]:
    """The published test, and a split of the photos of train that show other things. Unknowns beside these go to val."""
    train, test = seen
    groups = _groups([*train, *test], options)
    first = {name: photo for photo, name in zip(reversed(test), reversed(groups[len(train) :]), strict=True)}
    known = [(photo, name) for photo, name in zip(train, groups, strict=False) if name not in first]
    _print_tested([(photo.path, first[name].path) for photo, name in zip(train, groups, strict=False) if name in first])
    sides = split(
        [photo.label for photo, _ in known], [name for _, name in known], names, options.seed, _FIXED_TEST_SHARES
    )
    return [
        *(_photo(photo, side, name) for (photo, name), side in zip(known, sides, strict=True)),
        *(_photo(photo, "test", name) for photo, name in zip(test, groups[len(train) :], strict=True)),
    ]


def _print_tested(pairs: list[tuple[Path, Path]]) -> None:
    for path, tested in pairs[:_NAMED]:
        print(f"prepare_data: {path}: shows the same thing as the test photo {tested}; left out", file=sys.stderr)
    if len(pairs) > _NAMED:
        print(
            f"prepare_data: {len(pairs)} photos show the same thing as a test photo; all are left out", file=sys.stderr
        )


def _photo(seen: Seen, side: Split, group_name: str) -> Photo:
    return Photo(seen.path, seen.label, side, group_name, seen.sha256)


def _table(manifest: DataManifest, out: Path) -> Table:
    shared = Counter(photo.group for photo in manifest.photos)
    together = sum(count for count in shared.values() if count > 1)
    table = Table("class", *SPLITS, "parts", title=str(out), caption=f"{together} photos are in a group with others")
    for label, name in enumerate(manifest.names):
        parts = {photo.group for photo in manifest.photos if photo.label == label}
        table.add_row(name, *(str(manifest.count(label, split)) for split in SPLITS), str(len(parts)))
    return table


def three_or_more(text: str) -> int:
    number = int(text)
    if number < 3:
        raise argparse.ArgumentTypeError("must be at least 3: one photo each for train, val and test")
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
