"""Which good photos fit the guard, choose its limits and test it."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import decode_photo, read_bytes
from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image
from inspectd.terminal import track
from inspectd_tools.data.images import Images
from inspectd_tools.data.manifest import SPLITS, Split, read_manifest
from inspectd_tools.data.scan import photos_of
from inspectd_tools.data.split import split
from inspectd_tools.training.folds import FEW_PARTS, FOLDS, deal

LEAST: dict[Split, int] = {"train": 10, "val": 5, "test": 5}
"""Good photos that a guard needs."""
ENOUGH = 70
"""Good photos to fit. Measured on labels of several designs: with 20 to 70, many small faults pass."""
LEAST_IN_FOLDS = 15
"""Good parts that cross-validation needs."""
MOST_FITTED = 300
"""More photos to fit improve the guard little, and all of them are in memory at once."""
_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Good:
    """A photo of a good label, and the SHA-256 of its file."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class GoodPhotos:
    """`train` fits the guard, `val` chooses its limits, `test` is not used for any choice."""

    train: tuple[Good, ...]
    val: tuple[Good, ...]
    test: tuple[Good, ...]
    fold: tuple[int, ...] = ()
    """The fold of each photo in `train`, if they choose the limits, too: by cross-validation, without `val`."""

    @property
    def for_limits(self) -> tuple[Good, ...]:
        """The photos that choose the limits."""
        return self.train if self.fold else self.val


def good_photos(source: Path, pass_class: str, seed: int, *, may_fold: bool = False) -> GoodPhotos:
    """Good photos of a manifest, or of the folder `source/pass_class`, split by `seed`. Raises ConfigError naming what is missing.

    `may_fold`: if a manifest has fewer than 100 good parts in train and val, they are dealt into folds.
    """
    if is_csv(source):
        few = _in_folds(source, pass_class, seed) if may_fold else None
        if few is not None:
            return few
        photos = _of_manifest(source, pass_class)
        advice = "or give the folder of the photos instead of the manifest: then fewer fit the guard and more choose its limits"
    else:
        photos = _of_folder(source, pass_class, seed)
        advice = f"at least {sum(LEAST.values())} different photos are needed"
    for side, least in LEAST.items():
        if len(photos[side]) < least:
            raise ConfigError(
                f"{source}: {len(photos[side])} photos of {pass_class} in {side} are too few for a guard, at least {least} are "
                f"needed; add photos, {advice}"
            )
    return GoodPhotos(_drawn(photos["train"], seed), tuple(photos["val"]), tuple(photos["test"]))


def good_beside(fitting: Sequence[Good], calibration: Images, test: Images, label: int, seed: int) -> GoodPhotos:
    """`fitting` fits a guard; the other good photos (of this label) of the calibration set choose its limits, those of the test set
    test it.

    Raises ConfigError if they are too few, or if a photo to fit is a test photo, too.
    """
    fits = {photo.sha256 for photo in fitting}
    sides: dict[Split, tuple[Good, ...]] = {
        "train": tuple({photo.sha256: photo for photo in fitting}.values()),
        "val": tuple(photo for photo in _of_label(calibration, label) if photo.sha256 not in fits),
        "test": _of_label(test, label),
    }
    shared = [photo.path for photo in sides["test"] if photo.sha256 in fits]
    if shared:
        raise ConfigError(
            f"{shared[0]}: is a test photo, too ({len(shared)} photos are); the guard must be fitted to others"
        )
    what: dict[Split, str] = {
        "train": "to fit",
        "val": "in the calibration set besides those that fit it",
        "test": "in the test set",
    }
    for side, least in LEAST.items():
        if len(sides[side]) < least:
            raise ConfigError(
                f"{len(sides[side])} good photos {what[side]} are too few for a guard, at least {least} are needed"
            )
    return GoodPhotos(_drawn(sides["train"], seed), sides["val"], sides["test"])


def to_fit(source: Path, pass_class: str) -> tuple[Good, ...]:
    """The good train photos of a manifest, or all photos of the folder `source/pass_class`. Raises ConfigError."""
    return tuple(_of_manifest(source, pass_class)["train"] if is_csv(source) else _in_folder(source, pass_class))


def good_of_crossed(
    images: Images, parts: NDArray[np.int32], test: Images, label: int, *, may_fold: bool
) -> GoodPhotos:
    """The good photos (of this label) of a cross-validation, of which each was judged. `parts`: (N,) the part of each image.

    They are dealt into folds, if they may be and are few. Else half of the parts fit the guard, and the others choose its
    limits. Raises ConfigError if they are too few.
    """
    own = np.flatnonzero(images.labels == label)
    part = {images.digests[place]: str(parts[place]) for place in own}
    good = _of_label(images, label)
    few = dealt(good, [part[photo.sha256] for photo in good], _of_label(test, label), 0) if may_fold else None
    if few is not None:
        return few
    chosen = np.random.default_rng(0).permutation(sorted(set(part.values())))
    fits = set(chosen[: len(chosen) // 2].tolist())
    return good_beside([photo for photo in good if part[photo.sha256] in fits], images, test, label, 0)


def _of_label(images: Images, label: int) -> tuple[Good, ...]:
    photos = zip(images.files, images.digests, images.labels, strict=True)
    return tuple({digest: Good(path, digest) for path, digest, own in photos if own == label}.values())


def _drawn(photos: Sequence[Good], seed: int) -> tuple[Good, ...]:
    """At most `MOST_FITTED` of them."""
    chosen = np.random.default_rng(seed).permutation(len(photos))[:MOST_FITTED]
    return tuple(photos[place] for place in sorted(chosen.tolist()))


def too_few(photos: GoodPhotos) -> str | None:
    """What to do if only a few photos fit the guard."""
    if len(photos.train) >= ENOUGH:
        return None
    return (
        f"Only {len(photos.train)} photos fit the guard. With fewer than {ENOUGH}, and labels of several designs, many small faults "
        f"pass: give photos of at least {ENOUGH} good labels, better 150, with every design and lot among them."
    )


def grey_images(photos: Sequence[Good], what: str) -> Iterator[Image]:
    """(h, w) uint8 of each photo, a few decoded ahead. Raises ConfigError naming a photo that is broken or has changed."""
    with ThreadPoolExecutor() as pool:
        for start in track(range(0, len(photos), _AHEAD), what):
            yield from pool.map(_grey, photos[start : start + _AHEAD])


def fingerprint(photos: Sequence[Good]) -> str:
    """SHA-256 over the hashes of the files, in order."""
    return hashlib.sha256("".join(photo.sha256 for photo in photos).encode()).hexdigest()


def _of_manifest(source: Path, pass_class: str) -> dict[Split, list[Good]]:
    manifest = read_manifest(source)
    if pass_class not in manifest.classes:
        raise ConfigError(f"{source}: has no class {pass_class}, which the engine lets pass; it has {manifest.classes}")
    label = manifest.classes.index(pass_class)
    return {
        side: [Good(photo.path, photo.sha256) for photo in manifest.of(side) if photo.label == label] for side in SPLITS
    }


def _in_folds(source: Path, pass_class: str, seed: int) -> GoodPhotos | None:
    """None if there are enough to keep train and val apart, or too few to fit nine tenths of them."""
    sides, manifest = _of_manifest(source, pass_class), read_manifest(source)
    part = {photo.sha256: photo.group for photo in manifest.photos}
    good = [*sides["train"], *sides["val"]]
    return dealt(good, [part[photo.sha256] for photo in good], sides["test"], seed)


def dealt(good: Sequence[Good], parts: Sequence[str], test: Sequence[Good], seed: int) -> GoodPhotos | None:
    """`good` in folds, by the part of each; None if there are 100 parts or more, fewer than 15, or no test photo."""
    if not LEAST_IN_FOLDS <= len(set(parts)) < FEW_PARTS or not test:
        return None
    fold = deal([0] * len(good), parts, FOLDS, seed)
    return GoodPhotos(tuple(good), (), tuple(test), tuple(fold.tolist()))


def _of_folder(source: Path, pass_class: str, seed: int) -> dict[Split, list[Good]]:
    different = _in_folder(source, pass_class)
    if len(different) < sum(LEAST.values()):
        return {"train": different, "val": [], "test": []}
    fitting = min(0.5, MOST_FITTED / len(different))
    shares: dict[Split, float] = {"train": fitting, "val": (1 - fitting) / 2, "test": (1 - fitting) / 2}
    sides = split([0] * len(different), range(len(different)), (pass_class,), seed, shares)
    return {side: [photo for photo, here in zip(different, sides, strict=True) if here == side] for side in SPLITS}


def _in_folder(source: Path, pass_class: str) -> list[Good]:
    if not source.is_dir():
        raise ConfigError(f"{source}: is not a folder or a manifest (.csv)")
    photos = [Good(path, hashlib.sha256(read_bytes(path)).hexdigest()) for path in photos_of(source / pass_class)]
    return list({photo.sha256: photo for photo in photos}.values())


def _grey(photo: Good) -> Image:
    data = read_bytes(photo.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise ConfigError(f"{photo.path}: has changed since the manifest was written; run prepare_data.py again")
    return to_grey(decode_photo(data, photo.path))
