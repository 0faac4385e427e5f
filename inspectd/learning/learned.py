"""Learn from reviewed photos: fit, choose the threshold, prove. Nothing is written here."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import EngineError
from inspectd.inference.bundle import Bundle
from inspectd.inference.bundled_guard import BundledGuard
from inspectd.inference.manifest import Manifest, Threshold
from inspectd.inference.preprocess import preprocess
from inspectd.learning import doubts as doubting
from inspectd.learning import fitting, photos
from inspectd.learning.doubts import Doubts
from inspectd.learning.head import Head
from inspectd.learning.network import OpenNetwork
from inspectd.learning.not_worse import Paired
from inspectd.learning.photos import REVIEWED_UNKNOWN, Judged
from inspectd.learning.proof import Golden, Proof, reasons_of_labels
from inspectd.learning.rows import Rows, unpacked
from inspectd.records.reviews import UNKNOWN, Reviewed


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Labels that the line let pass, and that it rejected, while the reviewed ones came along."""

    passed: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A new engine that is not written yet."""

    head: Head
    threshold: Threshold
    tolerance: float
    share: float
    """Of the regression in the head's scores."""
    rows: Rows
    """Photos that its bundle keeps."""


@dataclass(frozen=True, slots=True)
class Learned:
    judged: Judged
    """All photos on whose label the reviewers agree."""
    usable: Judged
    """Those whose labels this engine knows: its classes, and unknown."""
    doubts: Doubts
    new_classes: tuple[str, ...]
    """Labels that are not classes of the engine."""
    candidate: Candidate | None
    """None if nothing could be fitted."""
    proof: Proof | None
    reasons: tuple[str, ...]
    """Why it is refused; empty: accepted."""

    @property
    def needs_training(self) -> bool:
        """The photos show that no head can do it on this backbone; not as long as their labels are doubtful."""
        return bool(self.new_classes) or not (self.doubts.separable or self.doubts.too_many)


def learn(bundle: Bundle, reviewed: Iterable[Reviewed], counts: LineCounts | None) -> Learned:
    """`counts`: None if the line's journal is not known. Raises EngineError if this engine can't learn, ConfigError for a photo."""
    network = OpenNetwork(bundle)
    kept = kept_rows(bundle)
    return learn_from(bundle, network, kept, photos.judge(reviewed, bundle, network, kept.digests), counts)


def kept_rows(bundle: Bundle) -> Rows:
    """The photos that the engine keeps. Raises EngineError."""
    listed = bundle.manifest.learning
    if listed is None:
        raise EngineError(
            f"{bundle.folder}: can't learn: it does not keep the photos that calibrated it, so a new threshold could not keep its "
            "guarantee. Build it again with tools/build_engine.py of this version"
        )
    try:
        rows = unpacked(bundle.read(listed))
    except ValueError as error:
        raise EngineError(f"{bundle.folder / listed.path}: {error}") from error
    if rows.names[: len(bundle.manifest.classes)] != bundle.manifest.classes:
        raise EngineError(f"{bundle.folder / listed.path}: has other classes than engine.yaml")
    return rows


def learn_from(bundle: Bundle, network: OpenNetwork, kept: Rows, judged: Judged, counts: LineCounts | None) -> Learned:
    manifest = bundle.manifest
    allowed = (*manifest.classes, REVIEWED_UNKNOWN)
    new_classes = tuple(name for name in judged.rows.names if name not in allowed)
    usable = judged.take(np.isin(judged.rows.truths, allowed))
    rows = usable.rows
    place = manifest.classes.index(manifest.pass_class)
    doubts = doubting.find(rows, usable.blocks, usable.confirmed, kept, place, network.head.log_scores(rows.features))
    reasons = reasons_of_labels(doubts, usable.line_parts)
    if new_classes:
        reasons.append(f"The engine has no class {', '.join(new_classes)}; only a training can add a class.")
    if reasons:  # nothing is fitted to such labels
        return Learned(judged, usable, doubts, new_classes, None, None, tuple(reasons))
    try:
        candidate = _fit(manifest, network.head, kept, usable, counts)
    except EngineError as error:
        return Learned(judged, usable, doubts, new_classes, None, None, (str(error),))
    proof = _prove(bundle, network, kept, usable, candidate, counts)
    return Learned(judged, usable, doubts, new_classes, candidate, proof, tuple(proof.reasons(manifest.pass_class)))


def _fit(manifest: Manifest, old: Head, kept: Rows, usable: Judged, counts: LineCounts | None) -> Candidate:
    """Raises EngineError if no head or no threshold can be found."""
    fits = usable.take(usable.rows.fits)
    joined = kept.joined(fits.rows)
    new = np.arange(len(joined)) >= len(kept)
    groups = np.where(new, joined.parts.max(initial=0) + 1 + _blocks_at(new, fits.blocks), joined.parts)
    fitted = fitting.fit(joined, fitting.deal(groups, joined.labels), manifest)
    certainty = fitting.certainties(joined, fitted.scores, manifest)
    bad = new & (joined.truths != manifest.pass_class)
    old_passes = _passes(joined, old, manifest, manifest.threshold.value)
    weight = _weights(_passes(usable.rows, old, manifest, manifest.threshold.value), counts)
    share = Paired.of(~old_passes[bad], ~old_passes[bad], weight and weight[::-1]).share_right
    at_least = fitting.strict_enough(old_passes[bad], certainty[bad], share)
    threshold, tolerance = fitting.choose_threshold(joined, fitted.scores, manifest, at_least)
    return Candidate(fitted.head, threshold, tolerance, fitted.share, joined)


def _prove(
    bundle: Bundle, network: OpenNetwork, kept: Rows, usable: Judged, new: Candidate, counts: LineCounts | None
) -> Proof:
    manifest = bundle.manifest
    old_threshold = manifest.threshold.value
    weight = _weights(_passes(usable.rows, network.head, manifest, old_threshold), counts)
    rows = usable.rows.take(~usable.rows.fits)
    good = rows.truths == manifest.pass_class
    old_passes = _passes(rows, network.head, manifest, old_threshold)
    new_passes = _passes(rows, new.head, manifest, new.threshold.value)
    rejects = Paired.of(old_passes[good], new_passes[good], weight)
    calibrated = kept.take(kept.calibrates & ~kept.fits & (kept.truths == manifest.pass_class))
    also = Paired.of(
        _passes(calibrated, network.head, manifest, old_threshold),
        _passes(calibrated, new.head, manifest, new.threshold.value),
    )
    return Proof(
        Paired.of(~old_passes[~good], ~new_passes[~good], weight and weight[::-1]),
        rejects.with_more_right(also),
        _golden(bundle, network, new),
        manifest.threshold,
        new.threshold,
    )


def _passes(rows: Rows, head: Head, manifest: Manifest, threshold: float) -> NDArray[np.bool_]:
    """(N,): whether network and guard let each photo pass."""
    passes: NDArray[np.bool_] = fitting.certainties(rows, head.scores(rows.features), manifest) >= threshold
    return passes


def _weights(passes: NDArray[np.bool_], counts: LineCounts | None) -> tuple[float, float] | None:
    """For how many labels of the line one reviewed pass, and one reviewed reject, stands. None: not known."""
    passed = int(passes.sum())
    rejected = len(passes) - passed
    if counts is None or not passed or not rejected:
        return None
    return max(1.0, counts.passed / passed), max(1.0, counts.rejected / rejected)


def _golden(bundle: Bundle, network: OpenNetwork, new: Candidate) -> tuple[Golden, ...]:
    manifest = bundle.manifest
    guard = None if manifest.guard is None else BundledGuard(bundle, manifest.guard, 0)

    def verdict(head: Head, threshold: float, features: NDArray[np.float32], stopped: bool) -> str:
        scores = head.scores(features[None])[0]
        name = manifest.classes[int(scores.argmax())]
        return UNKNOWN if scores.max() < threshold or (name == manifest.pass_class and stopped) else name

    found = []
    for golden in manifest.golden:
        image = read_photo(bundle.folder / golden.path)
        features = network.features(preprocess(image, manifest.input))
        stopped = guard is not None and guard.judge(image)[0] is not None
        found.append(
            Golden(
                golden.shows,
                verdict(network.head, manifest.threshold.value, features, stopped),
                verdict(new.head, new.threshold.value, features, stopped),
            )
        )
    return tuple(found)


def _blocks_at(places: NDArray[np.bool_], blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    spread = np.zeros(len(places), np.int64)
    spread[places] = blocks
    return spread
