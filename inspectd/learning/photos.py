"""Reviewed photos, as the engine sees them: which can be used, and which fit and which prove.

The photos are taken in the order of their triggers, in blocks of labels that came one after another. A block fits or proves as
a whole, because labels that follow each other are alike: the same lot, the same lamp, often the same fault.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import decode_photo, read_bytes
from inspectd.errors import InferenceError
from inspectd.inference.bundle import Bundle
from inspectd.inference.bundled_guard import BundledGuard
from inspectd.inference.preprocess import preprocess, to_grey
from inspectd.learning.by_kind import UNKNOWN as UNKNOWN_PREFIX
from inspectd.learning.network import OpenNetwork
from inspectd.learning.not_worse import FIT_ONE_IN
from inspectd.learning.rows import Rows
from inspectd.part import Image
from inspectd.records.reviews import UNKNOWN, Reviewed
from inspectd.terminal import track

DISAGREE: Final = "reviewers disagree"
REVIEWED_UNKNOWN: Final = f"{UNKNOWN_PREFIX}reviewed"
"""The kind of unknown that reviewed photos show."""
_BLOCK: Final = 10
"""Labels of a block."""
_LOOK_PX: Final = 32
"""Width and height of the small images that are compared."""
_ALIKE: Final = 1.5
"""Photos whose small images differ by at most so many grey levels on average show the same thing. The same photo with noise and
another brightness differs by 0.4 to 1.5; photos of two rendered labels by 8 or more, of two magnetic tiles by 2.5 or more."""

_SAME_FEATURES: Final = 0.02
"""Features of the same pixels differ by at most this share of their length: the file rounds each to about 1/32 of its spread, and
another runtime rounds otherwise. Those of two magnetic tiles differ by 0.14 or more."""
_KNOWN: Final = "the engine has learned from it before"


@dataclass(frozen=True, slots=True)
class Judged:
    """Reviewed photos on which all reviewers agree, by time of trigger, as the old engine sees them."""

    rows: Rows
    """`fits`: those that fit the new engine; the others prove it. `parts`: one number per photo."""
    line_parts: NDArray[np.int64]
    """(N,): the part numbers of the line."""
    paths: tuple[Path, ...]
    confirmed: NDArray[np.bool_]
    """(N,): at least two people say the same."""
    blocks: NDArray[np.int64]
    """(N,): the number of the block."""
    left_out: Counter[str]
    """Why photos can't be used -> how many."""

    def take(self, places: NDArray[np.bool_]) -> "Judged":
        return replace(
            self,
            rows=self.rows.take(places),
            line_parts=self.line_parts[places],
            paths=tuple(path for path, here in zip(self.paths, places, strict=True) if here),
            confirmed=self.confirmed[places],
            blocks=self.blocks[places],
        )


@dataclass(frozen=True, slots=True)
class _Photo:
    reviewed: Reviewed
    label: str
    digest: str
    look: NDArray[np.float32]
    features: NDArray[np.float32]
    guard: tuple[float, ...]


def judge(reviewed: Iterable[Reviewed], bundle: Bundle, network: OpenNetwork, known: Rows) -> Judged:
    """`known`: the photos that the engine already learned from or was calibrated with, also if other files hold them.

    Photos are left out, and counted: reviewers disagree; the engine knows it; it is like an earlier one with another label (both
    are left out) or the same label; the guard can't judge it. Raises ConfigError naming a photo that can't be read, EngineError.
    """
    manifest, digests = bundle.manifest, set(known.digests)
    guard = None if manifest.guard is None else BundledGuard(bundle, manifest.guard, 0)
    left_out: Counter[str] = Counter()
    photos: list[_Photo] = []
    for one in track(list(reviewed), "look", stderr=True):
        if one.label is None:
            left_out[DISAGREE] += 1
            continue
        data = read_bytes(one.photo)
        digest = hashlib.sha256(data).hexdigest()
        if digest in digests:
            left_out[_KNOWN] += 1
            continue
        image = decode_photo(data, one.photo)
        try:
            scores = () if guard is None else guard.scores(image)
        except InferenceError:
            left_out["it has another size than the guard's images"] += 1
            continue
        label = REVIEWED_UNKNOWN if one.label == UNKNOWN else one.label
        features = network.features(preprocess(image, manifest.input))
        if _is_one_of(features, known.features):
            left_out[_KNOWN] += 1
            continue
        photos.append(_Photo(one, label, digest, _look(image), features, scores))
    kept = _different(photos, left_out)
    blocks = np.arange(len(kept)) // _BLOCK
    names = tuple(dict.fromkeys((*manifest.classes, *(photo.label for photo in kept))))
    count, kinds = len(kept), 0 if manifest.guard is None else len(manifest.guard.kinds)
    rows = Rows(
        names=names,
        features=np.array([photo.features for photo in kept], np.float32).reshape(count, network.feature_size),
        labels=np.array([names.index(photo.label) for photo in kept], np.int64),
        parts=np.arange(count),
        fits=blocks % FIT_ONE_IN == 0,
        calibrates=np.zeros(count, bool),
        guard=np.array([photo.guard for photo in kept], np.float32).reshape(count, kinds),
        digests=tuple(photo.digest for photo in kept),
    )
    return Judged(
        rows,
        np.array([photo.reviewed.part for photo in kept], np.int64),
        tuple(photo.reviewed.photo for photo in kept),
        np.array([len(photo.reviewed.decisions) > 1 for photo in kept], bool),
        blocks,
        +left_out,
    )


def _is_one_of(features: NDArray[np.float32], known: NDArray[np.float32]) -> bool:
    """(features,), (N, features): whether one of the N photos has the same pixels."""
    nearest = np.linalg.norm(known - features, axis=1).min(initial=np.inf)
    return bool(nearest <= _SAME_FEATURES * np.linalg.norm(features))


def _different(photos: Sequence[_Photo], left_out: Counter[str]) -> list[_Photo]:
    """Each thing once: the first photo of it. None of it where its photos have different labels."""
    looks = np.array([photo.look for photo in photos]).reshape(len(photos), -1)
    taken = np.zeros(len(photos), bool)
    kept = []
    for place, photo in enumerate(photos):
        if taken[place]:
            continue
        same = np.flatnonzero((np.abs(looks - photo.look).mean(axis=1) <= _ALIKE) & ~taken)
        taken[same] = True
        if len({photos[other].label for other in same.tolist()}) > 1:
            left_out["photos that look the same have different labels"] += len(same)
            continue
        left_out["it looks the same as another one"] += len(same) - 1
        kept.append(photo)
    return kept


def _look(image: Image) -> NDArray[np.float32]:
    """(1024,): a small grey image, without its mean brightness."""
    small = cv2.resize(to_grey(image), (_LOOK_PX, _LOOK_PX), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    look: NDArray[np.float32] = small - small.mean()
    return look
