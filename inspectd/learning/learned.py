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
from inspectd.learning.fitting import Fitted
from inspectd.learning.head import Head
from inspectd.learning.likely import TRIED, compare, likeliest_threshold
from inspectd.learning.network import OpenNetwork
from inspectd.learning.not_worse import Paired
from inspectd.learning.photos import DISAGREE, REVIEWED_UNKNOWN, Judged
from inspectd.learning.proof import Golden, Proof, lost, reasons_of_labels
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
        draft = _fit(manifest, network.head, kept, usable, counts)
        candidate, proof = _settle(bundle, network, kept, usable, draft, counts)
    except EngineError as error:
        return Learned(judged, usable, doubts, new_classes, None, None, (str(error),))
    return Learned(judged, usable, doubts, new_classes, candidate, proof, tuple(proof.reasons()))


@dataclass(frozen=True, slots=True)
class _Draft:
    """All of a new engine but its threshold."""

    fitted: Fitted
    limits: tuple[float, ...]
    beyond: Rate | None
    rows: Rows
    likeliest: float
    """Threshold."""
    at_least: float
    """Threshold at which certainty alone stops as many of the kept unknown photos as before."""

    def at(self, threshold: float, manifest: Manifest) -> Candidate:
        """With this threshold or, where the guarantee needs it, a higher one. Raises EngineError."""
        found, tolerance = fitting.choose_threshold(
            self.rows, self.fitted.scores, manifest, self.limits, max(threshold, self.at_least)
        )
        return Candidate(self.fitted.head, found, tolerance, self.limits, self.beyond, self.rows)


def _fit(manifest: Manifest, old: Head, kept: Rows, usable: Judged, counts: LineCounts | None) -> _Draft:
    """Raises EngineError if no head can be found."""
    fits = usable.take(usable.rows.fits)
    joined = kept.joined(fits.rows)
    new = np.arange(len(joined)) >= len(kept)
    groups = np.where(new, joined.parts.max(initial=0) + 1 + _at(new, fits.blocks), joined.parts)
    fitted = fitting.fit(joined, fitting.deal(groups, joined.labels), manifest)
    # whether a small fault is one can't be seen from the features, so one person alone can't make the guard more lax
    believed = new & _at(new, fits.confirmed | ~fits.rows.stopped(fitting.limits_of(manifest)))
    chosen = fitting.choose_limits(joined, manifest, believed)
    limits = () if chosen is None else chosen[0].largest
    certainty = fitting.certainties(joined, fitted.scores, manifest, limits)[new]
    judges = Judges.of(old, manifest)
    good = fits.rows.truths == manifest.pass_class
    weight = _weights(judges.passes(usable.rows), counts)
    likeliest = likeliest_threshold(judges.passes(fits.rows), certainty, good, weight)
    return _Draft(
        fitted,
        limits,
        None if chosen is None else chosen[1],
        joined,
        likeliest,
        0.0 if manifest.guard is None else _as_careful(old, manifest, joined, fitted),
    )


def _as_careful(old: Head, manifest: Manifest, joined: Rows, fitted: Fitted) -> float:
    """A guard may stop all unknown photos, so that they ask for no certainty. Kinds that it can't see need the certainty."""
    unknown = joined.calibrates & (joined.labels >= len(manifest.classes))
    rows, no_limits = joined.take(unknown), (np.inf,) * joined.guard.shape[1]
    passed = Judges(old, manifest.threshold.value, no_limits, manifest).passes(rows)
    return fitting.as_careful(passed, fitting.certainties(rows, fitted.scores[unknown], manifest, no_limits))


def _settle(
    bundle: Bundle, network: OpenNetwork, kept: Rows, usable: Judged, draft: _Draft, counts: LineCounts | None
) -> tuple[Candidate, Proof]:
    """The threshold nearest to the likeliest one at which the new engine is proven not worse; if there is none, the likeliest.

    The photos that prove may decide how near, without a correction: a lower threshold can only let more labels pass. So the
    thresholds at which not more faulty labels pass are tested from strict to lax, and those at which not more good ones are rejected
    from lax to strict (fixed-sequence testing, as in `threshold.choose_threshold`). Raises EngineError if no threshold can be
    found.
    """
    manifest = bundle.manifest
    old = Judges.of(network.head, manifest)
    weight = _weights(old.passes(usable.rows), counts)
    rows = usable.rows.take(~usable.rows.fits)
    good = rows.truths == manifest.pass_class
    calibrated = kept.take(kept.calibrates & ~kept.fits & (kept.truths == manifest.pass_class))
    golden = _golden(bundle, network)

    def at(threshold: float) -> tuple[Candidate, Proof]:
        new = draft.at(threshold, manifest)
        judges = Judges(new.head, new.threshold.value, new.limits, manifest)
        accepts, rejects = compare(old.passes(rows), judges.passes(rows), good, weight)
        also = Paired.of(old.passes(calibrated), judges.passes(calibrated))
        seen = tuple(
            Golden(shows, old.verdict(features, guard), judges.verdict(features, guard))
            for shows, features, guard in golden
        )
        of_golden = sum(lost(image, manifest.pass_class) for image in seen)
        rejects = rejects.with_more_right(also).with_more_right(Paired(of_golden, of_golden))
        proof = Proof(accepts, rejects, seen, manifest.threshold, new.threshold, manifest.pass_class)
        return new, proof

    likeliest = at(draft.likeliest)
    _, proof = found = likeliest
    lax = proof.too_lax
    further = [value for value in TRIED if value != draft.likeliest and (value > draft.likeliest) == lax]
    for threshold in further if lax else further[::-1]:
        if proof.too_lax == proof.too_strict or proof.too_lax != lax:
            break
        try:
            _, proof = found = at(threshold)
        except EngineError:
            break
    return found if not proof.reasons() else likeliest


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


def _golden(bundle: Bundle, network: OpenNetwork) -> list[tuple[str, NDArray[np.float32], tuple[float, ...]]]:
    """What each golden image shows, its features, and its scores by the guard."""
    manifest = bundle.manifest
    recorded = [()] * len(manifest.golden) if manifest.guard is None else manifest.guard.golden_scores
    return [
        (golden.shows, network.features(preprocess(read_photo(bundle.folder / golden.path), manifest.input)), guard)
        for golden, guard in zip(manifest.golden, recorded, strict=True)
    ]


def _at(places: NDArray[np.bool_], values: NDArray[T]) -> NDArray[T]:
    """`values` at these places, and 0 or False elsewhere."""
    spread = np.zeros(len(places), values.dtype)
    spread[places] = values
    return spread
