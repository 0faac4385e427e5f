"""The new head and its threshold, from the photos that the bundle keeps and the reviewed ones that fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.guard.limits import Limits, fit_scores
from inspectd.inference.manifest import DuqHead, Manifest, Threshold
from inspectd.learning import head as heads
from inspectd.learning import ridge
from inspectd.learning.by_kind import ByKind
from inspectd.learning.cap import USUAL_CAP
from inspectd.learning.head import Head
from inspectd.learning.network import closed, opened
from inspectd.learning.rates import Rate, Values, pass_certainty
from inspectd.learning.rows import Rows
from inspectd.learning.threshold import calibrate, usual_alpha
from inspectd.learning.tolerance import golden_tolerance, least_margin
from inspectd.terminal import track

_FOLDS: Final = 10
_SHARE: Final = 0.25
"""Of the regression in log K, as `with_discriminant` takes it. On tiles it was better than 0, 0.5, 1, 2 and 4, and better than a choice
among them by cross-validation. More would also stretch the scale of the certainty, so that a threshold means less."""
_REJECTED_BY_GUARD: Final = 0.01
"""As tools/build_engine.py has it by default."""
_ROUNDED: Final = 0.005
"""The features that a bundle keeps are rounded. That moves a certainty of the shipped engine's 4800 calibration photos by at most
0.004, so the threshold must be further above the largest certainty that must not pass."""
_LEAST_FOR_LIMITS: Final = 10
"""Good photos. With fewer, the limits stay."""
_REMARK: Final = (
    "; fitted anew to reviewed photos, and chosen again from the same calibration photos. Photos that fit the head were judged by "
    "heads that were fitted without them, so the bound on their kinds is expected, not guaranteed"
)


@dataclass(frozen=True, slots=True)
class Fitted:
    head: Head
    scores: NDArray[np.float32]
    """(N, classes) of the photos that it was given: by heads that did not learn from them."""


def fit(rows: Rows, folds: NDArray[np.int64], manifest: Manifest) -> Fitted:
    """Fit the head to the photos with `fits`. `folds`: (N,) photos of one fold are judged by a head without it.

    Raises EngineError naming a class whose photos are all in one fold.
    """
    classes = len(manifest.classes)
    if not isinstance(manifest.head, DuqHead):
        raise EngineError("only a DUQ head can be fitted here")
    described = manifest.head
    for place, name in enumerate(manifest.classes):
        if len(set(folds[rows.fits & (rows.labels == place)].tolist())) < 2:
            raise EngineError(
                f"class {name}: all its photos are in one group; the fit needs photos of two parts or more"
            )

    def parts_of(learns: NDArray[np.bool_]) -> tuple[Head, ridge.Ridge]:
        known = learns & (rows.labels < classes)
        head = heads.fit_covariance(
            rows.features[known], rows.labels[known], classes, described.centroid_size, described.length_scale
        )
        # to the regression, all unknown ones are one more class
        labels = np.minimum(rows.labels[learns], classes)
        return head, ridge.fit(rows.features[learns], np.eye(classes + 1)[labels, :classes], labels)

    covariance, membership = np.empty((len(rows), classes)), np.empty((len(rows), classes))
    whole = parts_of(rows.fits)
    learned = [(rows.fits & (folds != fold), rows.fits & (folds == fold)) for fold in range(_FOLDS)]
    judges = [(whole, ~rows.fits)] + [
        (parts_of(learns), here) for learns, here in track(learned, "fit", stderr=True) if here.any()
    ]
    for (head, regression), here in judges:
        # a regression of its own takes the last row, so the covariance is judged without that row
        covariance[here] = heads.with_discriminant(head, regression, 0.0).log_scores(rows.features[here])
        membership[here] = regression.predict(rows.features[here])
    logs = covariance - _SHARE * np.square(1 - membership)
    as_stored = opened(closed(heads.with_discriminant(*whole, _SHARE)), classes, described.length_scale)
    return Fitted(as_stored, np.exp(logs).astype(np.float32))


def choose_threshold(
    rows: Rows, scores: NDArray[np.floating], manifest: Manifest, limits: Sequence[float], at_least: float
) -> tuple[Threshold, float]:
    """The threshold that the calibration photos among `rows` show, and the tolerance for golden images.

    `scores`: (N, classes). Raises EngineError if the photos can't show a bound.
    """
    kinds = kinds_of(rows, certainties(rows, scores, manifest, limits), rows.calibrates, manifest)
    alone = kinds_of(rows, certainties(rows, scores, manifest, [np.inf] * len(limits)), rows.calibrates, manifest).good
    alpha = usual_alpha(kinds)
    threshold = calibrate(
        kinds,
        manifest.threshold.calibration_fingerprint,
        alpha,
        _REMARK,
        margin=least_margin("fp32") + _ROUNDED,
        good_alone=alone if manifest.guard else None,
        rejected=USUAL_CAP if manifest.threshold.alpha > alpha else None,
        at_least=at_least,
    )
    return threshold, golden_tolerance(kinds, threshold.value, "fp32")


def kinds_of(rows: Rows, certainty: Values, which: NDArray[np.bool_], manifest: Manifest) -> ByKind:
    return ByKind.of(certainty[which], rows.labels[which], rows.parts[which], rows.names, manifest.pass_class)


def certainties(rows: Rows, scores: NDArray[np.floating], manifest: Manifest, limits: Sequence[float]) -> Values:
    """(N,): the highest threshold at which each photo passes network and guard. `limits`: of the guard; empty if there is none."""
    certainty = pass_certainty(scores, manifest.classes.index(manifest.pass_class))
    return np.where(rows.stopped(limits), 0, certainty)


def limits_of(manifest: Manifest) -> tuple[float, ...]:
    return () if manifest.guard is None else manifest.guard.limits


def choose_limits(rows: Rows, manifest: Manifest, believed: NDArray[np.bool_]) -> tuple[Limits, Rate] | None:
    """New limits for the guard, and how many of the good photos that chose them are beyond; None without a guard.

    Good calibration photos choose them, and the good reviewed ones among `believed`, (N,).
    """
    if manifest.guard is None:
        return None
    good = (rows.truths == manifest.pass_class) & (rows.calibrates | believed) & np.isfinite(rows.guard).all(axis=1)
    if good.sum() < _LEAST_FOR_LIMITS:
        limits = Limits(manifest.guard.limits)
    else:
        limits = fit_scores(rows.guard[good].astype(np.float64), manifest.guard.kinds, _REJECTED_BY_GUARD)
    return limits, Rate(int(rows.stopped(limits.largest)[good].sum()), int(good.sum()))


def as_careful(old_passes: NDArray[np.bool_], certainty: Values) -> float:
    """The lowest threshold at which no more of these photos pass than passed the old engine. (N,) each; at most 1."""
    too_many = np.sort(certainty)[::-1][int(old_passes.sum()) :][:1]
    return float(np.nextafter(too_many.max(initial=0), 2).clip(0, 1))


def deal(groups: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the fold of each photo. Photos of one group are in one fold, and the groups of a label are in as many as possible."""
    fold_of: dict[int, int] = {}
    order = np.random.default_rng(0).permutation(len(groups))
    for label in sorted(set(labels.tolist())):
        number = label
        for place in order[labels[order] == label].tolist():
            if int(groups[place]) not in fold_of:
                fold_of[int(groups[place])] = number % _FOLDS
                number += 1
    return np.array([fold_of[group] for group in groups.tolist()], np.int64)
