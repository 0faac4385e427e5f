"""Other measures of certainty from the features of a classifier, to compare DUQ with.

Each is fitted to the features of the training photos and gives (N,) values, which are higher for more certain photos.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from inspectd.learning.head import shrunk_covariance
from inspectd_tools.networks.classifier import SoftmaxHead

_NEIGHBOUR = 10

Certainty = Callable[[Tensor], Tensor]
"""(N, features) -> (N,)"""


def max_softmax(features: Tensor, labels: Tensor, class_count: int) -> Certainty:
    """Largest probability of a logistic regression (Hendrycks and Gimpel, "A baseline for detecting misclassified", 2017)."""
    head = SoftmaxHead(features.shape[1], class_count)
    head.fit(features, labels, torch.ones(class_count))
    return lambda other: head(other).exp().max(1).values


def mahalanobis(features: Tensor, labels: Tensor) -> Certainty:
    """Minus the distance to the nearest class mean under one covariance (Lee et al., "A simple unified framework", 2018)."""
    places = [labels == label for label in labels.unique()]
    means = torch.stack([features[place].double().mean(0) for place in places])
    offsets = torch.cat([features[place] - mean for place, mean in zip(places, means, strict=True)])
    factor = torch.linalg.cholesky(
        torch.linalg.inv(torch.from_numpy(shrunk_covariance(offsets.double().cpu().numpy())))
    )
    return lambda other: -torch.cdist(other.double() @ factor, means @ factor).min(1).values


def nearest_neighbours(features: Tensor) -> Certainty:
    """Minus the distance to the tenth nearest training photo, for features of length 1 (Sun et al., "Deep nearest neighbors", 2022)."""
    known = functional.normalize(features)
    neighbour = min(_NEIGHBOUR, len(known))
    return lambda other: -torch.cdist(functional.normalize(other), known).kthvalue(neighbour, dim=1).values
