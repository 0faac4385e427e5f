"""How certain a trained network is of photos that it should be less certain of: noisy ones, and another data set's."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inspectd_tools.data.images import Images
from inspectd_tools.experiments.records import Figure
from inspectd_tools.metrics.classification import auroc
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.predict import BATCH, classifier_network, predict
from inspectd_tools.settings import TrainingSettings


def under_noise(
    sigmas: Sequence[float], settings: TrainingSettings, classifier: Classifier, test: Images
) -> Iterator[Figure]:
    """Noise on the photo as the network gets it, clipped to 0..255; the same for every run."""
    clean = _scores(settings, classifier, test.pixels).max(1)
    for sigma in sigmas:
        scores = _scores(settings, classifier, with_noise(test.pixels, sigma))
        certainty = scores.max(1)
        yield Figure("noise", f"certainty at sigma {sigma:g}", float(certainty.mean()))
        yield Figure("noise", f"accuracy at sigma {sigma:g}", float((scores.argmax(1) == test.labels).mean()))
        told = auroc(certainty, clean)
        if sigma and told is not None:
            yield Figure("noise", f"AUROC at sigma {sigma:g}", told)


def with_noise(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Of standard deviation `sigma` grey values, rounded and clipped."""
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape) if sigma else 0
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def of_foreign(
    name: str, settings: TrainingSettings, classifier: Classifier, test: Images, foreign: Images
) -> Iterator[Figure]:
    own, other = (_scores(settings, classifier, images.pixels).max(1) for images in (test, foreign))
    yield Figure("foreign", "certainty of own photos", float(own.mean()))
    yield Figure("foreign", f"certainty of {name}", float(other.mean()))
    told = auroc(other, own)
    if told is not None:
        yield Figure("foreign", f"AUROC against {name}", told)


def _scores(settings: TrainingSettings, classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return predict(classifier_network(classifier, settings.input), pixels, batch=BATCH).astype(np.float64)
