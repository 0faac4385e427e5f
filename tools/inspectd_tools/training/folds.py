"""Which photo is in which fold of a cross-validation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspectd_tools.data.manifest import DataManifest, Photo
from inspectd_tools.settings import TrainingSettings

FOLDS = 10
FEW_PARTS = 100
"""With fewer parts of a class, a tenth of them is too few to choose a threshold."""


def usual_folds(settings: TrainingSettings, manifest: DataManifest) -> int:
    """10 if only the head is fitted, which takes seconds, and a class has fewer than 100 parts; else 0, no cross-validation."""
    parts = [len({photo.group for photo in known(manifest) if photo.label == n}) for n in range(len(manifest.classes))]
    return FOLDS if settings.epochs == 0 and min(parts) < FEW_PARTS else 0


def known(manifest: DataManifest) -> tuple[Photo, ...]:
    """The photos of the classes in train and val."""
    return (*manifest.of("train"), *manifest.of("val"))


def unknown_in_val(manifest: DataManifest) -> tuple[Photo, ...]:
    """Those unknown photos that choose the threshold."""
    return tuple(photo for photos in manifest.unknown("val").values() for photo in photos)


def deal(labels: Sequence[int], groups: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """(N,): the fold of each photo, at random by `seed`. A group stays whole, and every label is spread over the folds."""
    _, label_of = np.unique(labels, return_inverse=True)
    _, group_of = np.unique(groups, return_inverse=True)
    members = np.zeros((group_of.max() + 1, label_of.max() + 1))
    np.add.at(members, (group_of, label_of), 1)
    shares = members / members.sum(0)
    order = np.random.default_rng(seed).permutation(len(members))
    # the largest first, so that small groups can even out the folds
    order = order[np.argsort(-members[order].sum(1), kind="stable")]
    filled = np.zeros((count, shares.shape[1]))
    fold_of_group = np.zeros(len(members), np.int64)
    for group in order:
        of_its_labels = filled @ (shares[group] > 0)
        fold = np.lexsort((filled.sum(1), of_its_labels))[0]
        filled[fold] += shares[group]
        fold_of_group[group] = fold
    folds: NDArray[np.int64] = fold_of_group[group_of]
    return folds
