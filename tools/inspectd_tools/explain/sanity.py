"""Does a map depend on what the network has learned?

Adebayo et al., "Sanity checks for saliency maps", 2018: the weights become random layer by layer, starting at the head.
A map that does not change shows the image, not the network.
"""

from collections.abc import Iterator
from copy import deepcopy

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from inspectd_tools.explain.evidence import Map
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import TrainingSettings

_MOST_STEPS = 5
"""After the head; in deep networks several blocks become random in one step."""
MOST_ALIKE = 0.5
"""Above this rank correlation with the map of a completely random network, a map ignores the weights."""
SAME_CLASS = 0.9
"""Above this rank correlation when only the head is random, a map would show the same for every class."""


def cascade(classifier: Classifier, settings: TrainingSettings) -> Iterator[tuple[str, Classifier]]:
    """Copies of the classifier with more and more random layers, from the head down to the first layer.

    Each comes with the name of the layer that became random last.
    """
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed + 1)
        fresh = Classifier(settings).eval()
    damaged = deepcopy(classifier)
    damaged.head.load_state_dict(fresh.head.state_dict())
    yield "head", deepcopy(damaged)
    blocks = [(name, block) for name, block in damaged.backbone.named_children() if list(block.parameters())][::-1]
    for group in np.array_split(np.arange(len(blocks)), min(_MOST_STEPS, len(blocks))):
        for place in group:
            name, block = blocks[place]
            block.load_state_dict(fresh.backbone.get_submodule(name).state_dict())
        yield f"backbone.{blocks[group[-1]][0]}", deepcopy(damaged)


def rank_correlation(first: Map, second: Map) -> float:
    """Spearman's rank correlation of the magnitudes; 0 if one of the maps is constant."""
    ranks = [rankdata(np.abs(attribution), axis=None) for attribution in (first, second)]
    centred = [values - values.mean() for values in ranks]
    norms = np.prod([np.linalg.norm(values) for values in centred])
    return float(centred[0] @ centred[1] / norms) if norms > 0 else 0.0


def similarity(first: Map, second: Map) -> float:
    """SSIM of magnitudes scaled to 0..1, with a gaussian window of 1.5 px (Wang et al., "Image quality assessment", 2004)."""
    x, y = (np.abs(attribution, dtype=np.float64) for attribution in (first, second))
    x, y = (values / (values.max() or 1.0) for values in (x, y))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y, covariance = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((above / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
