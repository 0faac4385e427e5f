"""The test images one by one: the verdict of each, and how far it is on the wrong side of the threshold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from inspectd.decision import Policy
from inspectd.inference.manifest import Manifest
from inspectd.part import ANOMALY, Fault, Pass, Uncertain
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.judged import Judged

Kind = Literal["good", "faulty", "unknown"]


@dataclass(frozen=True, slots=True)
class Case:
    place: int
    """Among the test images."""
    kind: Kind
    truth: str
    """A class or a kind of unknown."""
    verdict: Pass | Fault | Uncertain
    """Of the network alone."""
    as_good: float
    """Certainty as the pass class; 0 if another class is at least as likely or the guard stops the label."""
    margin: float
    """How far `as_good` is on the wrong side of the threshold. 0 or more is an error: a bad label passed, or a good one did not."""
    score: float
    """Score of the pass class, which orders the images whose `as_good` is 0."""
    stopped: bool
    """The network lets the label pass, but the guard does not."""

    @property
    def predicted(self) -> str:
        return self.verdict.scores.predicted

    @property
    def certainty(self) -> float:
        return self.verdict.scores.certainty

    @property
    def outcome(self) -> str:
        if self.stopped:
            return f"rejected: {ANOMALY}"
        return "passed" if isinstance(self.verdict, Pass) else f"rejected: {self.verdict.word}"


def cases(test: Judged, manifest: Manifest) -> list[Case]:
    """In the order of the images. Raises InferenceError for scores that are not numbers from 0 to 1."""
    threshold, good = manifest.threshold.value, manifest.classes.index(manifest.pass_class)
    policy = Policy(manifest.classes, manifest.pass_class, threshold)
    found = []
    for place, as_good in enumerate(test.certainty(manifest).tolist()):
        truth = test.names[test.images.labels[place]]
        kind: Kind = "good" if truth == manifest.pass_class else "unknown" if truth.startswith(UNKNOWN) else "faulty"
        margin = threshold - as_good if kind == "good" else as_good - threshold
        scores = test.scores[place].tolist()
        verdict = policy.judge(scores)
        stopped = isinstance(verdict, Pass) and as_good < threshold
        found.append(Case(place, kind, truth, verdict, as_good, margin, scores[good], stopped))
    return found


def worst_first(found: Iterable[Case]) -> list[Case]:
    """Errors first, the farthest from the threshold first; then the images that are nearest to an error."""
    return sorted(found, key=lambda case: (-case.margin, case.score if case.kind == "good" else -case.score))
