"""Fit a guard to good photos, choose its limits with others, and count the good photos that it rejects."""

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.guard import limits, model
from inspectd.guard.judgement import Judgement
from inspectd.guard.limits import Limits
from inspectd.guard.model import Guard
from inspectd.guard.surface import Surface
from inspectd.inference.manifest import GuardScores
from inspectd.inference.preprocess import to_grey
from inspectd.inference.surface_network import compiled
from inspectd.learning.rates import Rate
from inspectd.part import Image
from inspectd.terminal import track
from inspectd_tools.deploy.guard.choice import choose
from inspectd_tools.deploy.guard.photos import Good, GoodPhotos, grey_images


@dataclass(frozen=True, slots=True)
class Fitted:
    guard: Guard
    data: bytes
    """The file of the guard."""
    limits: Limits
    photos: GoodPhotos
    asked: float
    """Share of the photos that choose the limits, of which at most so many may be rejected."""
    chosen: Rate
    """Rejected among the photos that chose the limits."""
    tested: Rate
    """Rejected among the test photos, by the guard alone."""
    fit_s: float
    """The fit alone, without reading the photos."""
    judge_ms: tuple[float, float]
    """p50 and p99 of one label."""
    unseen: dict[str, tuple[float, ...]]
    """With folds: SHA-256 of each photo that fits the guard -> its scores by a guard that was fitted without its part."""

    def scores(self, image: Image, path: Path) -> tuple[float, ...]:
        """(h, w) uint8 grey. Raises ConfigError naming `path` if the guard can't judge the image."""
        return _judge(self.guard, image, path).scores


def fit_guard(photos: GoodPhotos, rejected: float, surface: Path | None = None, seed: int = 0) -> Fitted:
    """At most the share `rejected` of `photos.val` is beyond the limits, or of `photos.train`, each judged by a guard that was fitted
    without its fold.

    `surface`: pretrained weights of MobileNetV2; a surface is trained, too. The guard has both, unless one alone finds clearly
    more of the faults drawn into `photos.val`. Raises ConfigError: a photo can't be read, or a guard can't be fitted to them.
    """
    first = photos.train[0].path
    start_s = time.monotonic()
    images = list(grey_images(photos.train, "read"))
    try:
        candidates = _candidates(images, photos.train, surface, seed)
        val = _by_folds(images, photos, candidates[0]) if photos.fold else []
    except (ValueError, np.linalg.LinAlgError, cv2.error) as error:
        raise ConfigError(f"{first.parent}: no guard can be fitted to these photos: {error}") from error
    del images
    guard, data = _as_loaded(_chosen(candidates, photos.val, rejected, seed))
    fit_s = time.monotonic() - start_s
    if not photos.fold:
        val, _ = _judged(guard, photos.val, "limits")
    found = limits.fit(val, rejected)
    test, took_ms = _judged(guard, photos.test, "test")
    p50, p99 = np.percentile(took_ms, (50, 99)).tolist()
    unseen = {
        photo.sha256: judgement.scores for photo, judgement in zip(photos.train, val, strict=False) if photos.fold
    }
    chosen, tested = _beyond(val, found), _beyond(test, found)
    return Fitted(guard, data, found, photos, rejected, chosen, tested, fit_s, (p50, p99), unseen)


def _by_folds(images: Sequence[Image], photos: GoodPhotos, guard: Guard) -> list[Judgement]:
    """Of each image, by guards that were fitted without its fold and look for the print where `guard` does."""
    region = guard.aligned.region if guard.aligned else None
    guards = {
        number: model.fit([image for image, fold in zip(images, photos.fold, strict=True) if fold != number], region)
        for number in track(sorted(set(photos.fold)), "limits")
    }
    entries = zip(photos.train, images, photos.fold, strict=True)
    return [_judge(guards[number], image, photo.path) for photo, image, number in entries]


def _candidates(images: Sequence[Image], photos: Sequence[Good], weights: Path | None, seed: int) -> list[Guard]:
    """The most complete first. Raises ConfigError, and ValueError if there are too few images."""
    other = next((number for number, image in enumerate(images) if image.shape != images[0].shape), None)
    if weights is None:
        if other is not None:
            raise ConfigError(
                f"{photos[other].path}: is {_shown(images[other].shape)} px, but {photos[0].path} is {_shown(images[0].shape)} px; "
                "all photos must have the size of the line's images. For products of several sizes, give --surface"
            )
        return [model.fit(images)]
    from inspectd_tools.deploy.guard.surface.training import train  # torch takes seconds to import

    network = train(images, weights, seed)
    surface = Surface(network, compiled(network))
    if other is not None:
        return [Guard(None, surface)]
    try:
        compared = model.fit(images).aligned
    except np.linalg.LinAlgError:  # nothing on them shows where they lie
        return [Guard(None, surface)]
    return [Guard(compared, surface), Guard(compared, None), Guard(None, surface)]


def _chosen(candidates: Sequence[Guard], photos: Sequence[Good], rejected: float, seed: int) -> Guard:
    return (
        candidates[0]
        if len(candidates) == 1
        else choose(candidates, list(grey_images(photos, "choice")), rejected, seed)
    )


def golden_scores(golden: Sequence[Path], guard: Guard) -> tuple[GuardScores, ...]:
    """Of each golden image. Raises ConfigError if one has another size than the guard."""
    return tuple(_judge(guard, to_grey(read_photo(path)), path).scores for path in golden)


def _as_loaded(guard: Guard) -> tuple[Guard, bytes]:
    """What the line will load, and its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guard.npz"
        guard.save(path)
        data = path.read_bytes()
    return model.load(data, compiled), data


def _judged(guard: Guard, photos: Sequence[Good], what: str) -> tuple[list[Judgement], list[float]]:
    judgements, took_ms = [], []
    for photo, image in zip(photos, grey_images(photos, what), strict=True):
        start_ns = time.monotonic_ns()
        judgements.append(_judge(guard, image, photo.path))
        took_ms.append((time.monotonic_ns() - start_ns) / 1e6)
    return judgements, took_ms


def _judge(guard: Guard, image: Image, path: Path) -> Judgement:
    if guard.size is not None and image.shape[::-1] != guard.size:
        raise ConfigError(
            f"{path}: is {_shown(image.shape)} px, but the good photos are {guard.size[0]}x{guard.size[1]} px; network and "
            "guard must get images of one size"
        )
    judgement = guard.judge(image)
    if not all(map(math.isfinite, judgement.scores)):
        raise ConfigError(f"{path}: the guard gives it scores that are not finite numbers: {judgement.scores}")
    return judgement


def _beyond(judgements: Sequence[Judgement], found: Limits) -> Rate:
    return Rate(sum(not found.accepts(judgement) for judgement in judgements), len(judgements))


def _shown(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
