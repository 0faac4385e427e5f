"""Explain photos one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inspectd_tools.data.images import load_images
from inspectd_tools.explain.evidence import Map
from inspectd_tools.explain.methods import Method, gap
from inspectd_tools.explain.network import Network
from inspectd_tools.explain.source import Source, Subject
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.networks.predict import classifier_network, predict


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A photo and the prediction of the network."""

    subject: Subject
    pixels: Tensor
    """(1, C, H, W) normalised."""
    place: int
    """Index of the predicted class."""
    predicted: str
    certainty: float
    """max_c K_c, or the largest probability."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    seen: Seen
    method: Method
    attribution: Tensor
    """(1, C or 1, H, W)"""
    gap: float | None
    """Error of the sum of the values, as a share; None for methods that do not have to add up."""

    @property
    def map(self) -> Map:
        """(H, W): the sum over the channels; for methods without a sign, the largest (Simonyan et al. 2014)."""
        values = self.attribution[0]
        combined: Map = (values.sum(0) if self.method.is_signed else values.amax(0)).numpy()
        return combined

    @property
    def is_blank(self) -> bool:
        return not bool(self.attribution.any())


def look(source: Source, subjects: Sequence[Subject]) -> list[Seen]:
    """Predict every photo. Raises ConfigError naming a photo that cannot be read or whose scores are not numbers."""
    settings = source.settings
    images = load_images([(subject.path, -1) for subject in subjects], settings.input)
    scores = predict(classifier_network(source.classifier, settings.input), images.pixels)
    seen = []
    for subject, image, row in zip(subjects, torch.from_numpy(images.pixels), scores, strict=True):
        place = int(row.argmax())
        pixels = to_network(image[None], settings.input)
        seen.append(Seen(subject, pixels, place, settings.classes[place], float(row[place])))
    return seen


def explain(network: Network, method: Method, photos: Sequence[Seen]) -> Iterator[Explanation]:
    """Explain the photos one after the other. Raises ConfigError where the method does not apply to the network."""
    for seen in photos:
        place = torch.tensor([seen.place])
        attribution = method.attribute(network, seen.pixels, place)
        distance = float(gap(network, seen.pixels, place, attribution)) if method.adds_up else None
        yield Explanation(seen, method, attribution, distance)
