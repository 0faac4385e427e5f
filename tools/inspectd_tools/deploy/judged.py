"""Calibration and test images, and the scores an exported network gives them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd_tools.data.images import Images, load_judged
from inspectd_tools.data.manifest import Split
from inspectd_tools.deploy.threshold import Groups
from inspectd_tools.metrics.rates import pass_certainty
from inspectd_tools.networks.predict import Network, predict
from inspectd_tools.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Judged:
    """`scores` (N, K) of the images. `names` of their labels: classes, then kinds of unknowns."""

    images: Images
    names: tuple[str, ...]
    scores: NDArray[np.float32]

    def by(self, network: Network, what: str) -> "Judged":
        """The same images, judged by another network."""
        return replace(self, scores=predict(network, self.images.pixels, what))

    def scores_by_class(self, place: int) -> dict[str, float]:
        """Of one image, as a manifest records them."""
        row = self.scores[place]
        return dict(zip(self.names[: len(row)], map(float, row), strict=True))

    def groups(self, settings: TrainingSettings) -> Groups:
        values = pass_certainty(self.scores, settings.classes.index(settings.pass_class))
        certainty = {name: values[self.images.labels == label] for label, name in enumerate(self.names)}
        return Groups.of(certainty, settings.pass_class)

    def right(self, settings: TrainingSettings) -> tuple[int, int]:
        """Images of known classes whose largest score is their class's, and of how many."""
        known = self.images.labels < len(settings.classes)
        return int((self.scores[known].argmax(1) == self.images.labels[known]).sum()), int(known.sum())


def judge(source: Path, side: Split, settings: TrainingSettings, network: Network) -> Judged:
    """`source`: a manifest, of which `side` is taken, or a folder of class folders. Raises ConfigError."""
    images, names = load_judged(source, side, settings.classes, settings.input, f"{side}: decode")
    return Judged(images, names, predict(network, images.pixels, f"{side}: infer"))
