"""The certainty of a trained network for photos that should have a low one: noisy photos, and those of another data set."""

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
    """Certainty and accuracy with noise on the photos as the network sees them; the noise is the same for every run."""
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
    """Add gaussian noise of standard deviation `sigma` grey values, then round and clip."""
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape) if sigma else 0
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def of_unknown(
    name: str, settings: TrainingSettings, classifier: Classifier, test: Images, unknown: Images
) -> Iterator[Figure]:
    own, other = (_scores(settings, classifier, images.pixels).max(1) for images in (test, unknown))
    yield Figure("unknown", "certainty of own photos", float(own.mean()))
    yield Figure("unknown", f"certainty of {name}", float(other.mean()))
    told = auroc(other, own)
    if told is not None:
        yield Figure("unknown", f"AUROC against {name}", told)


def _scores(settings: TrainingSettings, classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return predict(classifier_network(classifier, settings.input), pixels, batch=BATCH).astype(np.float64)
