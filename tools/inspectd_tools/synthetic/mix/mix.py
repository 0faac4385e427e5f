"""`synthesize.py mix`: a data manifest of real and synthetic photos. Nothing is copied, and the test stays real.

The ratio is the thesis's: synthetic / (real + synthetic).
"""

import argparse
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from inspectd.errors import ConfigError
from inspectd.files.csv_file import CsvRow, read_csv
from inspectd.terminal import console, track
from inspectd_tools.cli import not_negative
from inspectd_tools.data.manifest import SPLITS, UNKNOWN, DataManifest, Photo, Split, read_manifest, write_manifest
from inspectd_tools.data.scan import photos_of

_EPILOG = """\
examples:
  12 synthetic and 36 real photos a class to train with, the real ones to validate and to test with:
    python tools/synthesize.py mix photos.csv mixed.csv --synthetic out/composed --train 12 0.25
  only synthetic ones to train with, only real ones to validate with:
    python tools/synthesize.py mix photos.csv mixed.csv --synthetic out/composed --train 200 1
  20 real photos a class, none synthetic, `free` left whole; what is not taken joins the test:
    python tools/synthesize.py mix tiles.csv tiles20.csv --train 20 0 --keep free --rest-to-test

Rules, each checked: RATIO is synthetic / (real + synthetic), from 0 to 1; N * (1 - RATIO) / RATIO is a whole number and
there are so many real photos; the test is real; a composed image is made of photos of the split that it goes to, never
of a test photo; photos of one group stay in one split.

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 these can't be mixed"""


@dataclass(frozen=True, slots=True)
class Share:
    """`n` synthetic photos a class at `ratio` = synthetic / (real + synthetic); at ratio 0: `n` real ones."""

    n: int
    ratio: float

    @property
    def synthetic(self) -> int:
        return self.n if self.ratio else 0

    @property
    def real(self) -> int:
        return round(self.n * (1 - self.ratio) / self.ratio) if self.ratio else self.n

    def check(self, option: str) -> None:
        """Raises ConfigError."""
        if self.n < 1:
            raise ConfigError(f"{option}: {self.n} photos a class; must be 1 or more")
        if not 0 <= self.ratio <= 1:
            raise ConfigError(f"{option}: ratio {self.ratio:g}; must be from 0 (all real) to 1 (all synthetic)")
        exact = self.n * (1 - self.ratio) / self.ratio if self.ratio else self.n
        if abs(exact - self.real) > 0.05:
            raise ConfigError(
                f"{option}: {self.n} synthetic at ratio {self.ratio:g} ask for {exact:.2f} real photos a class; "
                "choose N and RATIO so that N * (1 - RATIO) / RATIO is whole"
            )


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Images of a folder of synthetic ones, by class, with the photos that each is made of (none if drawn)."""

    images: dict[str, list[Path]]
    sources: dict[Path, tuple[Path, ...]]
    digests: dict[Path, str]
    """Of the sources' contents."""


def read_synthetic(folder: Path, classes: Sequence[str]) -> Synthetic:
    """`truth.csv` says that the images are drawn; otherwise `sources.csv` lists the photos behind them, and
    `provenance.csv`, if it is there, which are behind which.

    Raises ConfigError where there is no folder, or these do not cover its images.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    images = {name: photos_of(folder / name) for name in classes if (folder / name).is_dir()}
    if (folder / "truth.csv").is_file():  # drawn from nothing
        return Synthetic(images, {}, {})
    used = _rows(folder / "sources.csv", ("photo", "sha256"))
    digests = {(folder / row["photo"]).resolve(): row["sha256"] for row in used}
    every = [path.resolve() for paths in images.values() for path in paths]
    if not (folder / "provenance.csv").exists():  # learnt: every photo is behind every image
        return Synthetic(images, dict.fromkeys(every, tuple(digests)), digests)
    made = _rows(folder / "provenance.csv", ("file", "photo", "ground", "background"))
    sources = {
        (folder / row["file"]).resolve(): tuple(
            (folder / row[key]).resolve() for key in ("photo", "ground", "background") if row[key]
        )
        for row in made
    }
    for path in every:
        if path not in sources:
            raise ConfigError(f"{path}: provenance.csv does not say what it is made of; compose it again")
    return Synthetic(images, sources, digests)


def mix(
    real: DataManifest,
    synthetic: Sequence[Synthetic],
    shares: dict[Split, Share],
    *,
    keep: Sequence[str] = (),
    rest_to_test: bool = False,
    seed: int = 0,
) -> DataManifest:
    """`shares` says which splits are mixed; others and the classes in `keep` stay as they are. The first of `synthetic` whose
    images may go to a split gives them.

    Raises ConfigError naming what breaks a rule.
    """
    for name in keep:
        if name not in real.classes:
            raise ConfigError(f"--keep: {name!r} is none of the classes {', '.join(real.classes)}")
    for side, share in shares.items():
        share.check(f"--{side}")
    photos = [photo for photo in real.photos if not _is_mixed(photo, real, shares, keep)]
    rest: list[Photo] = []
    used: dict[Path, tuple[Split, Path]] = {}
    for side, share in shares.items():
        for label, name in enumerate(real.classes):
            if name in keep:
                continue
            of_class = [photo for photo in real.photos if photo.split == side and photo.label == label]
            taken = _take_real(of_class, share.real, f"--{side}: class {name}", seed)
            photos += taken
            rest += [photo for photo in of_class if photo not in taken]
            photos += _take_synthetic(real, synthetic, name, label, side, share, used, seed)
    if rest_to_test:
        bound = {photo.group for photo in photos if photo.split != "test"}
        photos += [replace(photo, split="test") for photo in rest if photo.group not in bound]
    return DataManifest(real.names, tuple(photos))


def _is_mixed(photo: Photo, real: DataManifest, shares: dict[Split, Share], keep: Sequence[str]) -> bool:
    name = real.names[photo.label]
    return photo.split in shares and not name.startswith(UNKNOWN) and name not in keep


def _take_real(photos: Sequence[Photo], n: int, what: str, seed: int) -> list[Photo]:
    """`n` at random, but group after group: what is left is as free as can be."""
    if n > len(photos):
        raise ConfigError(f"{what}: {n} real photos wanted, there are {len(photos)}")
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.group].append(photo)
    order = np.random.default_rng(seed).permutation(len(groups))
    members = list(groups.values())
    return [photo for place in order for photo in members[place]][:n]


def _take_synthetic(
    real: DataManifest,
    synthetic: Sequence[Synthetic],
    name: str,
    label: int,
    side: Split,
    share: Share,
    used: dict[Path, tuple[Split, Path]],
    seed: int,
) -> list[Photo]:
    if not share.synthetic:
        return []
    what = f"--{side}: class {name}: {share.synthetic} synthetic images wanted"
    if not synthetic:
        raise ConfigError(f"{what}, but no --synthetic folder is given")
    problems = []
    for folder in synthetic:
        images = [path for path in folder.images.get(name, []) if path.resolve() not in used]
        if len(images) < share.synthetic:
            problems.append(f"there are {len(images)}")
            continue
        places = np.random.default_rng(seed).permutation(len(images))[: share.synthetic]
        chosen = [images[place] for place in sorted(places)]
        try:
            _check_sources(chosen, folder, real, side, used)
        except ConfigError as error:
            problems.append(str(error))
            continue
        for path in chosen:
            for source in (path.resolve(), *folder.sources.get(path.resolve(), ())):
                used.setdefault(source, (side, path))
        return [
            Photo(path, label, side, f"synthetic {side}/{name}/{path.name}", _sha256(path))
            for path in track(chosen, f"{side} {name}", transient=True)
        ]
    hint = "" if any(folder.images.get(name) for folder in synthetic) else f"; --keep {name} leaves it real"
    raise ConfigError(f"{what}: {'; '.join(problems)}{hint}")


def _check_sources(
    images: Sequence[Path], folder: Synthetic, real: DataManifest, side: Split, used: dict[Path, tuple[Split, Path]]
) -> None:
    by_path = {photo.path.resolve(): photo for photo in real.photos}
    by_content = {photo.sha256: photo for photo in real.photos}
    for image in images:
        for source in folder.sources.get(image.resolve(), ()):
            photo = by_path.get(source) or by_content.get(folder.digests.get(source, ""))
            if photo is not None and photo.split != side:
                raise ConfigError(
                    f"{image}: goes to {side}, but is made of {photo.path}, which is in {photo.split}: "
                    f"compose it from a manifest's {side} photos only (photos: <manifest>.csv)"
                )
            other_side, other = used.get(source, (side, image))
            if other_side != side:
                raise ConfigError(f"{image}: goes to {side}, but {other} in {other_side} is made of {source} too")


def _rows(path: Path, columns: Sequence[str]) -> list[CsvRow]:
    if not path.is_file():
        raise ConfigError(
            f"{path}: can't be read: No such file; a folder of `compose` or gan.py has it, one of `render` truth.csv"
        )
    return read_csv(path, columns)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_mix(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "mix",
        help="a data manifest of real and synthetic photos; the test stays real",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("real", type=Path, help="data manifest of the real photos (prepare_data.py)")
    parser.add_argument("out", type=Path, help="the manifest to write")
    parser.add_argument(
        "--synthetic",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="of `compose` or `render`, or images/ of gan.py; repeated: where --train and --val come from different ones",
    )
    for side in ("train", "val"):
        parser.add_argument(
            f"--{side}",
            nargs=2,
            metavar=("N", "RATIO"),
            help="N synthetic images a class and N * (1 - RATIO) / RATIO real ones; with RATIO 0, N real ones. "
            "Default: the real ones, all",
        )
    parser.add_argument(
        "--keep", action="append", default=[], metavar="CLASS", help="leave this class's real photos as they are"
    )
    parser.add_argument(
        "--rest-to-test",
        action="store_true",
        help="real photos that are not taken join the test, unless one of their group is taken",
    )
    parser.add_argument("--seed", type=not_negative, default=0, help="which photos are taken; default: 0")
    parser.set_defaults(verb=_mix)


def _mix(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    given: dict[Split, list[str] | None] = {"train": args.train, "val": args.val}
    try:
        shares = {side: Share(int(values[0]), float(values[1])) for side, values in given.items() if values is not None}
    except ValueError as error:
        parser.error(f"--train, --val: N must be a whole number, RATIO a number: {error}")
    if not shares:
        parser.error("nothing to mix: give --train N RATIO, --val N RATIO or both")
    if os.path.realpath(args.out) == os.path.realpath(args.real):
        parser.error(f"{args.out}: is the manifest of the real photos; give another name")
    real = read_manifest(args.real)
    synthetic = [read_synthetic(folder, real.classes) for folder in args.synthetic]
    mixed = mix(real, synthetic, shares, keep=args.keep, rest_to_test=args.rest_to_test, seed=args.seed)
    write_manifest(mixed, args.out)
    console().print(_table(real, mixed, args.out))


def _table(real: DataManifest, mixed: DataManifest, out: Path) -> Table:
    table = Table("class", *(f"{side}: real + synthetic" for side in SPLITS), title=str(out))
    known = {photo.path.resolve() for photo in real.photos}
    counts = Counter((photo.label, photo.split, photo.path.resolve() in known) for photo in mixed.photos)
    for label, name in enumerate(mixed.names):
        table.add_row(name, *(f"{counts[label, side, True]} + {counts[label, side, False]}" for side in SPLITS))
    return table
