"""`engine.yaml`: what an engine bundle says about itself. Written by the tools, checked by the daemon."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from inspectd.inference.preprocess import InputSpec, Share
from inspectd.section import Section

FORMAT: Final = 1
"""Version of this file's layout; a bundle of a newer one is refused."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside_the_bundle(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a relative path inside the bundle")
    return name


BundlePath = Annotated[str, AfterValidator(_inside_the_bundle)]


class DuqHead(Section):
    kind: Literal["duq"]
    length_scale: float = Field(gt=0)
    centroid_size: int = Field(ge=1)


class SoftmaxHead(Section):
    kind: Literal["softmax"]


class Threshold(Section):
    """The certainty below which a part is rejected as unknown, and how it was chosen."""

    value: Share
    method: str
    """One sentence, e.g. 'lowest threshold with no false accept on the calibration set'."""
    calibration_fingerprint: Sha256
    """Of the calibration set's file hashes, in order."""
    n_good: int = Field(ge=0)
    n_bad: int = Field(ge=0)
    """Faulty and unknown calibration images."""
    false_accept_bound: Share
    """Upper bound of the share of faulty or unknown labels passed ..."""
    confidence: Share
    """... at this confidence (Clopper-Pearson), if the line's images are like the calibration set's."""
    false_reject_rate: Share
    """Share of good calibration images below the threshold or taken for faulty."""


class ModelFile(Section):
    """One file of a backend's model; a backend that needs several (OpenVINO .xml + .bin) lists each."""

    path: BundlePath
    sha256: Sha256
    backend: Literal["onnxruntime", "openvino", "tensorrt"]
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    """Of the stored weights."""


class GoldenImage(Section):
    """A camera image with the scores training recorded for it; re-run at each load."""

    path: BundlePath
    sha256: Sha256
    scores: tuple[float, ...]


class Manifest(Section):
    format: Literal[1] = FORMAT
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    created: datetime
    git_commit: str
    architecture: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    """In the order of the scores: the only source of class indices."""
    pass_class: str
    input: InputSpec
    head: Annotated[DuqHead | SoftmaxHead, Field(discriminator="kind")]
    threshold: Threshold
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]
    golden: Annotated[tuple[GoldenImage, ...], Field(min_length=1)]
    golden_tolerance: float = Field(gt=0, le=0.1)
    """Largest allowed difference of any score of a golden image."""
    training: dict[str, Any]
    """Provenance: experiment, data fingerprint, metrics."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name occurs twice")
        if self.pass_class not in self.classes:
            raise ValueError(f"pass_class: {self.pass_class!r} is none of {', '.join(self.classes)}")
        for golden in self.golden:
            if len(golden.scores) != len(self.classes):
                raise ValueError(
                    f"golden: {golden.path} has {len(golden.scores)} scores for {len(self.classes)} classes"
                )
        return self
