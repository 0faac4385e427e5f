"""Learn from reviewed photos: fit, choose the threshold, prove. Nothing is written here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.errors import EngineError
from inspectd.inference.bundle import Bundle
from inspectd.inference.manifest import Manifest, Threshold
from inspectd.inference.preprocess import preprocess
from inspectd.learning import doubts as doubting
from inspectd.learning import fitting, photos
from inspectd.learning.doubts import Doubts
from inspectd.learning.head import Head
from inspectd.learning.network import OpenNetwork
from inspectd.learning.not_worse import Paired
from inspectd.learning.photos import DISAGREE, REVIEWED_UNKNOWN, Judged
from inspectd.learning.proof import Golden, Proof, reasons_of_labels
from inspectd.learning.rates import Rate
from inspectd.learning.rows import Rows, unpacked
from inspectd.records.reviews import UNKNOWN, Reviewed

T = TypeVar("T", bound=np.generic)


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
    limits: tuple[float, ...]
    """Of the guard; empty if there is none."""
    beyond: Rate | None
    """Good photos that chose the limits, and are beyond them."""
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
    return learn_from(bundle, network, kept, photos.judge(reviewed, bundle, network, kept), counts)


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
    if rows.guard.shape[1] != len(fitting.limits_of(bundle.manifest)):
        raise EngineError(f"{bundle.folder / listed.path}: its scores are not those of the guard in engine.yaml")
    return rows


def learn_from(bundle: Bundle, network: OpenNetwork, kept: Rows, judged: Judged, counts: LineCounts | None) -> Learned:
    manifest = bundle.manifest
    allowed = (*manifest.classes, REVIEWED_UNKNOWN)
    new_classes = tuple(name for name in judged.rows.names if name not in allowed)
    usable = judged.take(np.isin(judged.rows.truths, allowed))
    rows = usable.rows
    place = manifest.classes.index(manifest.pass_class)
    disputed = judged.left_out[DISAGREE]
    logs = network.head.log_scores(rows.features)
    doubts = doubting.find(rows, usable.blocks, usable.confirmed, disputed, kept, place, logs)
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
    groups = np.where(new, joined.parts.max(initial=0) + 1 + _at(new, fits.blocks), joined.parts)
    fitted = fitting.fit(joined, fitting.deal(groups, joined.labels), manifest)
    # whether a small fault is one can't be seen from the features, so one person alone can't make the guard more lax
    believed = new & _at(new, fits.confirmed | ~fits.rows.stopped(fitting.limits_of(manifest)))
    chosen = fitting.choose_limits(joined, manifest, believed)
    limits = () if chosen is None else chosen[0].largest
    certainty = fitting.certainties(joined, fitted.scores, manifest, limits)
    bad = new & (joined.truths != manifest.pass_class)
    judges = Judges.of(old, manifest)
    old_passes = judges.passes(joined)
    weight = _weights(judges.passes(usable.rows), counts)
    share = Paired.of(~old_passes[bad], ~old_passes[bad], weight and weight[::-1]).share_right
    at_least = fitting.strict_enough(old_passes[bad], certainty[bad], share)
    threshold, tolerance = fitting.choose_threshold(joined, fitted.scores, manifest, limits, at_least)
    return Candidate(
        fitted.head, threshold, tolerance, fitted.share, limits, None if chosen is None else chosen[1], joined
    )


def _prove(
    bundle: Bundle, network: OpenNetwork, kept: Rows, usable: Judged, new: Candidate, counts: LineCounts | None
) -> Proof:
    manifest = bundle.manifest
    old = Judges.of(network.head, manifest)
    judges = Judges(new.head, new.threshold.value, new.limits, manifest)
    weight = _weights(old.passes(usable.rows), counts)
    rows = usable.rows.take(~usable.rows.fits)
    good = rows.truths == manifest.pass_class
    old_passes, new_passes = old.passes(rows), judges.passes(rows)
    calibrated = kept.take(kept.calibrates & ~kept.fits & (kept.truths == manifest.pass_class))
    also = Paired.of(old.passes(calibrated), judges.passes(calibrated))
    return Proof(
        Paired.of(~old_passes[~good], ~new_passes[~good], weight and weight[::-1]),
        Paired.of(old_passes[good], new_passes[good], weight).with_more_right(also),
        _golden(bundle, network, old, judges),
        manifest.threshold,
        new.threshold,
    )


@dataclass(frozen=True, slots=True)
class Judges:
    """Network and guard of an engine, which judge photos as the line does."""

    head: Head
    threshold: float
    limits: tuple[float, ...]
    manifest: Manifest

    @classmethod
    def of(cls, head: Head, manifest: Manifest) -> "Judges":
        return cls(head, manifest.threshold.value, fitting.limits_of(manifest), manifest)

    def passes(self, rows: Rows) -> NDArray[np.bool_]:
        """(N,): whether each photo passes."""
        certainty = fitting.certainties(rows, self.head.scores(rows.features), self.manifest, self.limits)
        passes: NDArray[np.bool_] = certainty >= self.threshold
        return passes

    def verdict(self, features: NDArray[np.float32], guard: Sequence[float]) -> str:
        """A class, or `unknown`. `guard`: the scores by the guard."""
        scores = self.head.scores(features[None])[0]
        name = self.manifest.classes[int(scores.argmax())]
        stopped = name == self.manifest.pass_class and any(map(float.__gt__, guard, self.limits))
        return UNKNOWN if scores.max() < self.threshold or stopped else name


def _weights(passes: NDArray[np.bool_], counts: LineCounts | None) -> tuple[float, float] | None:
    """For how many labels of the line one reviewed pass, and one reviewed reject, stands. None: not known."""
    passed = int(passes.sum())
    rejected = len(passes) - passed
    if counts is None or not passed or not rejected:
        return None
    return max(1.0, counts.passed / passed), max(1.0, counts.rejected / rejected)


def _golden(bundle: Bundle, network: OpenNetwork, old: Judges, new: Judges) -> tuple[Golden, ...]:
    manifest = bundle.manifest
    recorded = [()] * len(manifest.golden) if manifest.guard is None else manifest.guard.golden_scores
    found = []
    for golden, guard in zip(manifest.golden, recorded, strict=True):
        features = network.features(preprocess(read_photo(bundle.folder / golden.path), manifest.input))
        found.append(Golden(golden.shows, old.verdict(features, guard), new.verdict(features, guard)))
    return tuple(found)


def _at(places: NDArray[np.bool_], values: NDArray[T]) -> NDArray[T]:
    """`values` at these places, and 0 or False elsewhere."""
    spread = np.zeros(len(places), values.dtype)
    spread[places] = values
    return spread
