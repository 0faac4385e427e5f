"""The parts of a bundle besides its models: golden images, and the list of files with their hashes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from inspectd.camera.image_files import read_photo
from inspectd.inference.manifest import DuqHead, GoldenImage, ModelFile, SoftmaxHead
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.duq import DuqHead as DuqTrainingHead
from inspectd_tools.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Model:
    """One file of the model of a backend; `path` is relative to the bundle."""

    path: str
    backend: Literal["onnxruntime", "openvino", "tensorrt"]
    precision: Literal["fp32", "fp16", "bf16", "int8"]


def listed(models: Sequence[Model], bundle: Path) -> tuple[ModelFile, ...]:
    """As engine.yaml lists them."""
    return tuple(
        ModelFile(
            path=model.path, sha256=_sha256(bundle / model.path), backend=model.backend, precision=model.precision
        )
        for model in models
    )


def golden_places(judged: Judged) -> list[int]:
    """Indices of the golden images: the first correct image of each class (or the first, if none is correct), and of the first unknown kind."""
    first_unknown = sum(not name.startswith(UNKNOWN) for name in judged.names)
    places = [
        np.flatnonzero(judged.images.labels == label) for label in range(min(first_unknown + 1, len(judged.names)))
    ]
    right = judged.scores.argmax(1) == judged.images.labels
    return [int(next((place for place in found if right[place]), found[0])) for found in places if len(found)]


def write_golden(judged: Judged, places: list[int], bundle: Path) -> tuple[GoldenImage, ...]:
    """Write these images to `golden/` as the camera delivered them, in colour if they are, and return them with their scores."""
    (bundle / "golden").mkdir()
    golden = []
    for place in places:
        path = f"golden/{judged.names[judged.images.labels[place]]}.png"
        cv2.imwrite(str(bundle / path), read_photo(judged.images.files[place]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        scores = judged.scores_by_class(place)
        golden.append(GoldenImage(path=path, sha256=_sha256(bundle / path), scores=scores))
    return tuple(golden)


def architecture(settings: TrainingSettings) -> str:
    """Backbone, how it was trained, and head, in words."""
    if settings.epochs == 0:
        trained = "pretrained"
    else:
        trained = "trained as DUQ" if settings.trains_duq else "trained with softmax"
    if not settings.RBF_flag:
        return f"{settings.model} ({trained}), softmax head"
    fitted = {
        "gradient": "",
        "means": ", centroids moved to the class means",
        "covariance": " fitted to class covariances",
    }
    return f"{settings.model} ({trained}), DUQ head{fitted[settings.head_fit]}"


def described(classifier: Classifier) -> DuqHead | SoftmaxHead:
    """The head, as engine.yaml describes it."""
    head = classifier.head
    if not isinstance(head, DuqTrainingHead):
        return SoftmaxHead(kind="softmax")
    return DuqHead(kind="duq", length_scale=float(head.length_scale), centroid_size=len(head.weight))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
