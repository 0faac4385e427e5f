"""The model's answer for every photo: truth, predicted class, certainty and verdict."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.camera.image_files import read_photo
from inspectd.decision import Policy
from inspectd.errors import EngineError, InferenceError
from inspectd.part import Fault, Pass, Uncertain, words
from inspectd_tools.data.images import Images
from inspectd_tools.evaluation.model import Model
from inspectd_tools.evaluation.photos import Photos
from inspectd_tools.networks.predict import predict


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """One photo. `verdict` is None where the model has no threshold."""

    path: Path
    truth: str
    """A class, or the folder of an unknown photo."""
    label: int
    """Index of the class; -1 for an unknown photo."""
    pixels: NDArray[np.uint8]
    """(C, H, W), as the network saw it."""
    scores: NDArray[np.float64]
    """(K,)"""
    predicted: str
    verdict: str | None

    @property
    def certainty(self) -> float:
        return float(self.scores.max())

    @property
    def is_unknown(self) -> bool:
        return self.label < 0

    @property
    def is_wrong(self) -> bool:
        """A photo of one class that was classified as another."""
        return not self.is_unknown and self.predicted != self.truth


def judge(model: Model, photos: Photos) -> list[Judgement]:
    """Judge the known photos, then the unknown folders. Raises EngineError naming a photo whose scores are not numbers."""
    judgements = []
    for name, images in ((None, photos.known), *photos.unknown.items()):
        what = f"{model.backend}: infer{'' if name is None else f', {name}'}"
        scores = predict(model.infer, images.pixels, what, batch=model.photos_at_once, files=images.files)
        judgements += [
            _judgement(model, images, place, name, row.astype(np.float64)) for place, row in enumerate(scores)
        ]
    return judgements


def _judgement(model: Model, images: Images, place: int, folder: str | None, scores: NDArray[np.float64]) -> Judgement:
    path = images.files[place]
    if not np.isfinite(scores).all():
        raise EngineError(f"{path}: scores are not numbers: {scores.tolist()}")
    try:
        verdict = None if model.policy is None else words(_verdict(model, model.policy, path, scores)).verdict
    except InferenceError as error:
        raise EngineError(f"{path}: {error}") from error
    label = int(images.labels[place]) if folder is None else -1
    return Judgement(
        path=path,
        truth=model.classes[label] if folder is None else folder,
        label=label,
        pixels=images.pixels[place],
        scores=scores,
        predicted=model.classes[int(scores.argmax())],
        verdict=verdict,
    )


def _verdict(model: Model, policy: Policy, path: Path, scores: NDArray[np.float64]) -> Pass | Fault | Uncertain:
    """Raises InferenceError, ConfigError."""
    verdict = policy.judge(scores.tolist())
    if not isinstance(verdict, Pass) or model.engine is None or model.engine.manifest.guard is None:
        return verdict
    return model.engine.judge(read_photo(path)).verdict  # the guard looks at the photo in full size


def arrays(
    judgements: Sequence[Judgement],
) -> tuple[NDArray[np.float64], NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """(N, K) scores and (N,) labels of the known photos, and the (M, K) scores of each unknown folder."""
    known = [photo for photo in judgements if not photo.is_unknown]
    folders = dict.fromkeys(photo.truth for photo in judgements if photo.is_unknown)
    return (
        np.stack([photo.scores for photo in known]),
        np.array([photo.label for photo in known], np.int64),
        {
            name: np.stack([photo.scores for photo in judgements if photo.is_unknown and photo.truth == name])
            for name in folders
        },
    )


def write_csv(path: Path, judgements: Sequence[Judgement], classes: Sequence[str]) -> None:
    """Write one row per photo, in order. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "truth", "predicted", "certainty", "verdict", *(f"score {name}" for name in classes)))
        for photo in judgements:
            known = (photo.path, photo.truth, photo.predicted, photo.certainty, photo.verdict or "")
            writer.writerow((*known, *photo.scores.tolist()))
