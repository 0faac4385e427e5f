"""What a trained network says of photos: its scores, and its certainty beside other measures of certainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspectd_tools.metrics.ood_baselines import Certainty, mahalanobis, max_softmax, nearest_neighbours
from inspectd_tools.networks.classifier import SoftmaxHead
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Answers:
    log_scores: Tensor
    """(N, classes)"""
    certainty: dict[str, NDArray[np.float64]]
    """Measure -> (N,)"""
    softmax: NDArray[np.float64] | None
    """(N, classes) of the softmax that trained the network, if one did."""

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N, classes)"""
        scores: NDArray[np.float64] = self.log_scores.exp().double().numpy()
        return scores

    def take(self, places: NDArray[np.int64]) -> "Answers":
        return Answers(
            self.log_scores[places],
            {measure: values[places] for measure, values in self.certainty.items()},
            None if self.softmax is None else self.softmax[places],
        )


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers of all parts, in their order."""
    softmax = [part.softmax for part in parts if part.softmax is not None]
    return Answers(
        torch.cat([part.log_scores for part in parts]),
        {measure: np.concatenate([part.certainty[measure] for part in parts]) for measure in parts[0].certainty},
        np.concatenate(softmax) if softmax else None,
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers for photos of the classes, and for those of unknowns."""

    known: Answers
    labels: NDArray[np.int64]
    """(N,)"""
    unknown: dict[str, Answers]
    """Kind, or path of a folder -> the answers for its photos."""

    def joined(self, other: "Answered") -> "Answered":
        kinds = self.unknown | other.unknown
        return Answered(
            joined([self.known, other.known]),
            np.concatenate([self.labels, other.labels]),
            {name: joined([side.unknown[name] for side in (self, other) if name in side.unknown]) for name in kinds},
        )


class Judge:
    """A fitted head, and the other measures, fitted to the same features (N, features) and labels (N,)."""

    def __init__(
        self,
        head: DuqHead | SoftmaxHead,
        softmax: SoftmaxHead | None,
        settings: TrainingSettings,
        learned_from: tuple[Tensor, Tensor],
    ) -> None:
        self._head = head
        self._softmax = softmax
        self._measures: dict[str, Certainty] = {
            "DUQ" if settings.RBF_flag else "softmax": lambda values: head(values).exp().max(1).values,
            "max-softmax of a linear probe": max_softmax(*learned_from, len(settings.classes)),
            "Mahalanobis": mahalanobis(*learned_from),
            "nearest neighbours": nearest_neighbours(learned_from[0]),
        }
        if softmax is not None:
            self._measures["softmax that trained it"] = lambda values: softmax(values).exp().max(1).values

    @torch.no_grad()
    def answers(self, features: Tensor) -> Answers:
        """`features`: (N, features)"""
        return Answers(
            self._head(features),
            {name: measure(features).double().numpy() for name, measure in self._measures.items()},
            None if self._softmax is None else self._softmax(features).exp().double().numpy(),
        )
