"""What `inspectd learn` says: as JSON, on the screen, and in the card of the new engine."""

from collections import Counter
from typing import Any

from inspectd.inference.manifest import Manifest
from inspectd.learning.learned import Candidate, Learned
from inspectd.learning.not_worse import MARGIN, Paired
from inspectd.learning.proof import Proof
from inspectd.learning.wanted import wanted

HEADING = "## Learned from reviewed labels"
_MORE = 1.05
"""A limit that rises by less is not worth a sentence."""


def figures(learned: Learned, manifest: Manifest) -> dict[str, Any]:
    """All but what depends on the new bundle."""
    proof, pass_class = learned.proof, manifest.pass_class
    return {
        "accepted": not learned.reasons,
        "reasons": list(learned.reasons),
        "before": None if proof is None else _errors(proof, 0),
        "after": None if proof is None else _errors(proof, 1),
        "changes": [] if learned.candidate is None else changes(manifest, learned.candidate),
        "photos": {**photos(learned), "left_out": dict(learned.judged.left_out)},
        "doubtful": learned.usable.line_parts[learned.doubts.worst_first].tolist(),
        "wanted": _wanted(learned, pass_class),
        "needs_training": learned.needs_training,
    }


def photos(learned: Learned) -> dict[str, dict[str, int]]:
    """How many of which label fit and prove."""
    rows = learned.usable.rows
    return {
        "fit": dict(Counter(rows.truths[rows.fits].tolist())),
        "prove": dict(Counter(rows.truths[~rows.fits].tolist())),
    }


def _wanted(learned: Learned, pass_class: str) -> list[str]:
    if learned.proof is not None:
        return learned.proof.wanted()
    return wanted(Counter(learned.usable.rows.truths.tolist()), pass_class)


def _errors(proof: Proof, engine: int) -> dict[str, Any]:
    """Of engine 0, the old one, or 1, the new one, on the photos that prove."""
    return {
        name: {"errors": paired.errors[engine], "n": paired.n, "interval": list(paired.intervals[engine])}
        for name, paired in (("false_accepts", proof.false_accepts), ("false_rejects", proof.false_rejects))
    }


def sentences(learned: Learned) -> list[str]:
    """For people."""
    said = []
    if learned.proof is not None:
        for what, paired in (
            ("faulty or unknown labels pass", learned.proof.false_accepts),
            ("good labels are rejected", learned.proof.false_rejects),
        ):
            said.append(_compared(what, paired))
    return said


def _compared(what: str, paired: Paired) -> str:
    if not paired.n:
        return f"No photos show how many {what}."
    (before, after), ((low0, high0), (low1, high1)) = paired.errors, paired.intervals
    return (
        f"Of {paired.n} {what}: before {before} ({before / paired.n:.1%}, 95 % interval {low0:.1%} to {high0:.1%}), after {after} "
        f"({after / paired.n:.1%}, {low1:.1%} to {high1:.1%}); McNemar p = {paired.p_value:.2g}."
    )


def changes(manifest: Manifest, new: Candidate) -> list[str]:
    """What changes besides the head, for people. `manifest`: of the old engine."""
    said = [f"The threshold was {manifest.threshold.value:.3f}, and is {new.threshold.value:.3f}."]
    if manifest.guard is not None:
        limits = zip(manifest.guard.kinds, manifest.guard.limits, new.limits, strict=True)
        said += [
            f"The guard accepts more: its limit for {kind} was {before:.2f}, and is {after:.2f}."
            for kind, before, after in limits
            if after > _MORE * before
        ]
    return said


def section(learned: Learned, manifest: Manifest, new: Candidate) -> str:
    """Of the card. `manifest`: of the old engine."""
    by_label, version, threshold = photos(learned), manifest.version, new.threshold

    def counted(side: str) -> str:
        return ", ".join(f"{count} {label}" for label, count in sorted(by_label[side].items()))

    return "\n".join(
        [
            HEADING,
            "",
            f"This engine is version {version} with another head, another threshold and other limits of the guard, if there is one. The "
            "backbone is the same. "
            f"**All figures in other sections are those of version {version}.**",
            "",
            f"- Fitted to the photos of version {version} and to reviewed ones: {counted('fit')}.",
            f"- Proven with other reviewed photos: {counted('prove')}.",
            *(f"- {sentence}" for sentence in sentences(learned)),
            f"- With 95 % confidence, the new engine errs on at most {MARGIN:.0%} of the labels more than version {version}, "
            "counted for faulty or unknown labels and for good ones. The photos are those that people reviewed, so these are not the "
            "rates of the line.",
            *(f"- {sentence}" for sentence in changes(manifest, new)),
            f"- Threshold {threshold.value:.4f}. The calibration photos of version {version}, judged by the new head, show that "
            f"at most {threshold.alpha:.2%} of the faulty or unknown labels pass.",
            "- It computes in fp32 only. Other precisions need a build: tools/build_engine.py.",
            "",
        ]
    )


def left_out(learned: Learned) -> list[str]:
    return [f"{count} photos were left out: {why}" for why, count in learned.judged.left_out.items() if count]
