"""Calibration and test images, with the scores that an exported network gives them, and what a guard says of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inspectd.inference.preprocess import InputSpec
from inspectd.learning.by_kind import ByKind
from inspectd.learning.rates import Values, pass_certainty
from inspectd_tools.data.images import Images, load_judged
from inspectd_tools.data.manifest import Split
from inspectd_tools.deploy.parts import parts_of
from inspectd_tools.networks.predict import Network, predict


class Stops(Protocol):
    """A guard with its limits."""

    def __call__(self, images: Images, places: NDArray[np.int64], /) -> NDArray[np.bool_]:
        """Images and the places (M,) of some of them -> (M,): whether the guard stops each."""

    def scores(self, images: Images, places: NDArray[np.int64], /) -> NDArray[np.float64]:
        """The same -> (M, kinds): its scores."""


class Product(Protocol):
    """What training settings and the manifest of an engine both say."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def pass_class(self) -> str: ...
    @property
    def input(self) -> InputSpec: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """Images and their `scores` (N, K). `names` of the labels: the classes, then the kinds of unknowns.

    `unseen`: (N, K) the scores by networks that did not learn from these images, where the network of `scores` did; None: it
    did not. They choose the threshold.
    """

    images: Images
    parts: NDArray[np.int32]
    """(N,) the number of the part that each image shows."""
    names: tuple[str, ...]
    scores: NDArray[np.float32]
    unseen: NDArray[np.float32] | None = None
    stops: Stops | None = None
    """None: there is no guard."""

    def by(self, network: Network, what: str) -> "Judged":
        """The same images with the scores of another network: the same one in another arithmetic.

        There are no networks of the folds in that arithmetic, so the logarithms of `unseen` are moved as much as those of
        `scores`. This is good enough for small differences, such as those between two runtimes in fp32.
        """
        scores = predict(network, self.images.pixels, what)
        if self.unseen is None:
            return replace(self, scores=scores)
        moved = _log(self.unseen) + _log(scores) - _log(self.scores)
        return replace(self, scores=scores, unseen=np.exp(moved.clip(max=0)))

    def take(self, places: NDArray[np.int64]) -> "Judged":
        unseen = None if self.unseen is None else self.unseen[places]
        return replace(
            self, images=self.images.take(places), parts=self.parts[places], scores=self.scores[places], unseen=unseen
        )

    @property
    def honest(self) -> NDArray[np.float32]:
        """(N, K) the scores by networks that did not learn from these images."""
        return self.scores if self.unseen is None else self.unseen

    def scores_by_class(self, place: int) -> dict[str, float]:
        """The scores of one image, as a manifest records them."""
        row = self.scores[place]
        return dict(zip(self.names[: len(row)], map(float, row), strict=True))

    def certainty(self, product: Product) -> Values:
        """(N,) float32: the highest threshold at which each image passes; 0 if another class is at least as likely or the guard
        stops it.

        This is the rule of the line, `Engine.judge`. Raises ConfigError if the guard can't judge an image.
        """
        values = pass_certainty(self.honest, product.classes.index(product.pass_class))
        if self.stops is not None:
            places = np.flatnonzero(values)
            values[places[self.stops(self.images, places)]] = 0
        return values

    def by_kind(self, product: Product) -> ByKind:
        certainty = self.certainty(product)
        return ByKind.of(certainty, self.images.labels, self.parts, self.names, product.pass_class)

    def right(self, product: Product) -> tuple[int, int]:
        """How many images of the classes have their largest score for their own class, and how many there are."""
        known = self.images.labels < len(product.classes)
        return int((self.scores[known].argmax(1) == self.images.labels[known]).sum()), int(known.sum())


def _log(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(scores.clip(np.finfo(np.float32).tiny))


def judge(source: Path, side: Split, product: Product, network: Network) -> Judged:
    """Load and judge images. `source`: a manifest, from which split `side` is taken, or a folder of class folders. Raises ConfigError."""
    images, groups, names = load_judged(source, side, product.classes, product.input, f"{side}: decode")
    return Judged(images, parts_of(groups, images.digests), names, predict(network, images.pixels, f"{side}: infer"))
