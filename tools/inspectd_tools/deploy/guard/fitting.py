"""Fit a guard to good photos, choose its limits with others, and count the good photos that it rejects."""

import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspectd.camera.image_files import decode_photo
from inspectd.errors import ConfigError
from inspectd.guard import limits, model
from inspectd.guard.judgement import Judgement
from inspectd.guard.limits import Limits
from inspectd.guard.model import Guard
from inspectd.inference.bundle import Bundle
from inspectd.inference.manifest import GuardScores
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image
from inspectd_tools.deploy.guard.photos import Good, GoodPhotos, grey_images
from inspectd_tools.metrics.rates import Rate


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


def fit_guard(photos: GoodPhotos, rejected: float) -> Fitted:
    """At most the share `rejected` of `photos.val` is beyond the limits.

    Raises ConfigError: a photo can't be read, the photos have several sizes, or a guard can't be fitted to them.
    """
    first = photos.train[0].path
    images = list(_of_one_size(photos.train, grey_images(photos.train, "read"), None, first))
    size = images[0].shape
    start_s = time.monotonic()
    try:
        guard, data = _as_loaded(model.fit(images))
    except (ValueError, np.linalg.LinAlgError, cv2.error) as error:
        raise ConfigError(f"{first.parent}: no guard can be fitted to these photos: {error}") from error
    fit_s = time.monotonic() - start_s
    del images
    val, _ = _judged(guard, photos.val, size, first, "limits")
    found = limits.fit(val, rejected)
    test, took_ms = _judged(guard, photos.test, size, first, "test")
    p50, p99 = np.percentile(took_ms, (50, 99)).tolist()
    return Fitted(guard, data, found, photos, rejected, _beyond(val, found), _beyond(test, found), fit_s, (p50, p99))


def golden_scores(bundle: Bundle, guard: Guard) -> tuple[GuardScores, ...]:
    """Of each golden image. Raises ConfigError if one has another size than the guard."""
    return tuple(
        _judge(guard, to_grey(decode_photo(bundle.read(golden), path)), path).scores
        for golden in bundle.manifest.golden
        for path in [bundle.folder / golden.path]
    )


def _as_loaded(guard: Guard) -> tuple[Guard, bytes]:
    """What the line will load, and its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guard.npz"
        guard.save(path)
        data = path.read_bytes()
    return model.load(data), data


def _of_one_size(
    photos: Sequence[Good], images: Iterable[Image], size: tuple[int, ...] | None, first: Path
) -> Iterable[Image]:
    for photo, image in zip(photos, images, strict=True):
        size = size or image.shape
        if image.shape != size:
            raise ConfigError(
                f"{photo.path}: is {_shown(image.shape)} px, but {first} is {_shown(size)} px; all photos must have the size "
                "of the line's images"
            )
        yield image


def _judged(
    guard: Guard, photos: Sequence[Good], size: tuple[int, ...], first: Path, what: str
) -> tuple[list[Judgement], list[float]]:
    judgements, took_ms = [], []
    for photo, image in zip(photos, _of_one_size(photos, grey_images(photos, what), size, first), strict=True):
        start_ns = time.monotonic_ns()
        judgements.append(_judge(guard, image, photo.path))
        took_ms.append((time.monotonic_ns() - start_ns) / 1e6)
    return judgements, took_ms


def _judge(guard: Guard, image: Image, path: Path) -> Judgement:
    if image.shape[::-1] != guard.size:
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
