"""Calibration by cross-validation: the scores that choose the threshold, and how the choice does on photos that had no part in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from inspectd.learning.rates import Rate
from inspectd.learning.threshold import usual_alpha
from inspectd_tools.data.images import load_photos
from inspectd_tools.deploy.calibration import Calibration
from inspectd_tools.deploy.card.markdown import literal, table
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.parts import parts_of
from inspectd_tools.networks.predict import Network, predict
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.out_of_fold import OutOfFold

REMARK = (
    "; cross-validation judged the photos of the classes, so the bound on faulty labels is expected, not guaranteed"
)


def judge_out_of_fold(found: OutOfFold, settings: TrainingSettings, network: Network) -> Judged:
    """The photos of the cross-validation, judged by the engine's `network` and by networks that did not learn from their parts.

    Nothing learned from unknown photos, so the scores of the engine's own network count for them. Raises ConfigError.
    """
    images = load_photos(found.data.photos, settings.input, "train, val: decode")
    scores = predict(network, images.pixels, "train, val: infer")
    is_unknown = images.labels >= len(settings.classes)
    unseen = np.where(is_unknown[:, None], scores, found.scores)
    parts = parts_of([photo.group for photo in found.data.photos], images.digests)
    return Judged(images, parts, found.data.names, scores, unseen)


@dataclass(frozen=True, slots=True)
class Nested:
    """What is rejected or passes if the parts of each fold are judged at the threshold that the other folds choose."""

    folds: int
    thresholds: tuple[float, float]
    """The lowest and the highest."""
    good_rejected: Rate
    passed: dict[str, Rate]
    """Fault class or kind of unknown -> how many parts of it pass."""


def nested(found: OutOfFold, calibration: Calibration) -> Nested:
    """`calibration`: how the threshold was chosen from these photos. Where fewer folds have too few parts for its bound, the lowest
    that they can show is taken. Raises EngineError.
    """
    judged, product = replace(calibration.judged, unseen=found.scores), calibration.product
    thresholds, rejected, passed = [], [], []
    for fold in np.unique(found.fold):
        others, here = (judged.take(np.flatnonzero(side)) for side in (found.fold != fold, found.fold == fold))
        alpha = max(calibration.alpha, usual_alpha(others.by_kind(product)))
        value = replace(calibration, judged=others, alpha=alpha).threshold(others, "fp32").value
        own = here.by_kind(product)
        thresholds.append(value)
        rejected.append(Rate(int((own.good < value).sum()), len(own.good)))
        passed.append({name: Rate(int((v >= value).sum()), len(v)) for name, v in (own.faulty | own.unknown).items()})
    return Nested(
        len(thresholds),
        (min(thresholds), max(thresholds)),
        _sum(rejected),
        {name: _sum([fold[name] for fold in passed]) for name in passed[0]},
    )


def section(found: Nested) -> list[str]:
    """Of the card."""
    low, high = found.thresholds
    return [
        "## Cross-validation",
        "",
        f"Few photos were given, so all photos of train and val trained the engine and chose its threshold. For the choice, "
        f"{found.folds} networks judged them: each learned from {found.folds - 1} of {found.folds} folds of the parts and judged the "
        "parts of the last one. The engine's own network learned from all.",
        "",
        "- The bound on unknown labels is guaranteed: nothing learned from the unknown photos, and the engine's own network judged "
        "them.",
        "- The bound on faulty labels is expected, not guaranteed: no faulty photo is new to the engine's own network. It holds if "
        "that network is not worse than those that learned from fewer photos. New photos as `--calibration` give a guarantee.",
        "",
        f"To test the whole way, each fold was judged at the threshold that the other folds choose ({low:.4f} to {high:.4f}):",
        *table(
            ("parts of", "errors", "95 % interval"),
            [
                ("good labels rejected", *_cells(found.good_rejected)),
                *((f"{literal(name)} passed", *_cells(rate)) for name, rate in found.passed.items()),
            ],
        ),
    ]


def sentence(found: Nested) -> str:
    """For the terminal."""
    passed = _sum(list(found.passed.values()))
    low, high = found.thresholds
    return (
        f"Cross-validation, {found.folds} folds, each judged at the threshold of the others ({low:.3f} to {high:.3f}): good parts "
        f"rejected: {found.good_rejected}; faulty and unknown parts passed: {passed}. The bound on faulty labels is expected, not "
        "guaranteed; the card says why."
    )


def _sum(rates: Sequence[Rate]) -> Rate:
    return Rate(sum(rate.errors for rate in rates), sum(rate.n for rate in rates))


def _cells(rate: Rate) -> tuple[str, str]:
    if not rate.n:
        return "none tried", ""
    low, high = rate.interval
    return f"{rate.errors} of {rate.n} ({rate.share:.2%})", f"{low:.2%} to {high:.2%}"
