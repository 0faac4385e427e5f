"""Check every method against what is known about the photos and the network: which maps can be trusted?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from inspectd.errors import ConfigError
from inspectd.terminal import progress_bar
from inspectd_tools.explain.evidence import Map, Mask, fault_mask, label_mask, mask_share, points_at
from inspectd_tools.explain.explanation import Explanation, Seen, explain
from inspectd_tools.explain.faithfulness import area, deletion, insertion, sensitivity, unexplained
from inspectd_tools.explain.methods import METHODS, Method
from inspectd_tools.explain.network import Network, Target
from inspectd_tools.explain.sanity import cascade, rank_correlation, similarity
from inspectd_tools.explain.source import Source
from inspectd_tools.sampling import spread


def _edges(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    found = [
        cv2.magnitude(*(cv2.Sobel(image.mean(0).numpy(), cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))) for image in images
    ]
    return torch.from_numpy(np.stack(found))[:, None]


def _chance(network: Network, images: Tensor, classes: Tensor) -> Tensor:
    return torch.rand(len(images), 1, *images.shape[2:])


CONTROLS = {
    "(edges)": Method(_edges, is_signed=False, adds_up=False),
    "(chance)": Method(_chance, is_signed=False, adds_up=False),
}
"""Maps that do not use the network: the edges of the image, which look convincing, and noise."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known about a photo: (H, W) masks, None if not known."""

    fault: Mask | None
    label: Mask | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One method on one photo. NaN: not measured, or no such mask. The AUCs are of the score of the predicted class, 0..1."""

    method: str
    path: Path
    truth: str
    predicted: str
    certainty: float
    seconds: float
    gap: float
    fault_share: float
    fault_area: float
    points_at_fault: float
    label_share: float
    deletion_auc: float
    insertion_auc: float
    unexplained: float
    sensitivity: float


@dataclass(frozen=True, slots=True)
class SanityStep:
    """One method with random weights from the head down to the layer `randomised`; means over the probes."""

    method: str
    randomised: str
    rank_correlation: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Checked:
    measured: list[Measured]
    sanity: list[SanityStep]
    refused: dict[str, str]
    """Method -> why it does not apply."""
    explanations: dict[str, list[Explanation]]


def truths(photos: Sequence[Seen], masks: Path | None, source: Source) -> list[Truth]:
    """The masks of each photo, from the folder `masks` and from truth.csv. Raises ConfigError."""
    spec = source.settings.input
    return [Truth(fault_mask(seen.subject.path, masks, spec), label_mask(seen.subject.path, spec)) for seen in photos]


def check(
    source: Source, target: Target, names: Sequence[str], photos: Sequence[Seen], known: Sequence[Truth], probes: int
) -> Checked:
    """Run the named methods and the controls on all photos.

    What needs many maps per photo is measured on `probes` photos, evenly spread.
    """
    probed = spread(photos, probes)
    network = Network(source.classifier, target)
    checked = Checked([], [], {}, {})
    methods = {name: METHODS[name] for name in names} | CONTROLS
    with progress_bar() as progress:
        task = progress.add_task("check", total=len(methods) * (len(photos) + len(probed)))
        for name, method in methods.items():
            progress.update(task, description=name)
            try:
                explanations = []
                for seen, truth in zip(photos, known, strict=True):
                    start_s = time.perf_counter()
                    (explanation,) = explain(network, method, [seen])
                    seconds = time.perf_counter() - start_s
                    explanations.append(explanation)
                    row = _measure(source, network, name, method, explanation, truth, seconds, seen in probed)
                    checked.measured.append(row)
                    progress.advance(task)
            except ConfigError as error:
                checked.refused[name] = str(error)
                continue
            checked.explanations[name] = explanations
            originals = [explanation for explanation in explanations if explanation.seen in probed]
            checked.sanity.extend(_sanity(source, target, name, method, originals))
            progress.advance(task, len(probed))
    return checked


def _measure(
    source: Source,
    network: Network,
    name: str,
    method: Method,
    explanation: Explanation,
    truth: Truth,
    seconds: float,
    is_probe: bool,
) -> Measured:
    seen, attribution = explanation.seen, explanation.map
    nothing = float("nan")

    def score(images: Tensor) -> Tensor:
        log_scores: Tensor = source.classifier(images.to(source.classifier.device))
        return log_scores[:, seen.place].exp().cpu()

    pixels = seen.pixels[0]
    fault, label = truth.fault, truth.label
    return Measured(
        method=name,
        path=seen.subject.path,
        truth=seen.subject.truth,
        predicted=seen.predicted,
        certainty=seen.certainty,
        seconds=seconds,
        gap=nothing if explanation.gap is None else explanation.gap,
        fault_share=nothing if fault is None else mask_share(attribution, fault),
        fault_area=nothing if fault is None else float(fault.mean()),
        points_at_fault=nothing if fault is None else float(points_at(attribution, fault)),
        label_share=nothing if label is None else mask_share(attribution, label),
        deletion_auc=area(deletion(score, pixels, attribution)),
        insertion_auc=area(insertion(score, pixels, attribution)),
        unexplained=unexplained(network, method, seen.pixels, seen.place, explanation.attribution)
        if is_probe
        else nothing,
        sensitivity=sensitivity(network, method, seen.pixels, seen.place) if is_probe else nothing,
    )


def _sanity(
    source: Source, target: Target, name: str, method: Method, originals: Sequence[Explanation]
) -> list[SanityStep]:
    steps = []
    maps: list[Map] = [explanation.map for explanation in originals]
    for layer, damaged in cascade(source.classifier, source.settings):
        network = Network(damaged, target)
        again = [found.map for found in explain(network, method, [explanation.seen for explanation in originals])]
        pairs = list(zip(maps, again, strict=True))
        steps.append(
            SanityStep(
                name,
                layer,
                float(np.mean([rank_correlation(*pair) for pair in pairs])),
                float(np.mean([similarity(*pair) for pair in pairs])),
            )
        )
    return steps
