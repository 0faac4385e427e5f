"""`engine.yaml`: what an engine bundle says about itself. Written by the tools, checked by the daemon."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from inspectd.inference.preprocess import InputSpec, Share
from inspectd.section import Section

FORMAT: Final = 2
"""Version of this file's layout; a bundle of a newer one is refused. 2 added what is optional below."""

Precision = Literal["fp32", "bf16", "int8"]
"""What `inference.precision` asks for. A TensorRT plan has FP16 for fp32 and for bf16."""

ArithmeticName = Literal["fp32", "bf16", "int8", "tensorrt-int8"]
"""What an engine has a threshold for: INT8 of a TensorRT plan has other ranges than that of the CPU."""

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


class Passed(Section):
    """Of the calibration images of one fault class or one kind of unknown."""

    passed: int = Field(ge=0)
    n: int = Field(ge=0)
    bound: Share
    """Upper bound of the share that passes, at the threshold's confidence, each kind for itself."""


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
    alpha: Share
    """The bound asked for: at most this share of the faulty labels, and of the unknown ones if some were shown, passes. It was fixed before the
    threshold was chosen, which makes it the promise; the other bounds describe."""
    false_accepts: dict[str, Passed]
    """By fault class and kind of unknown."""
    false_reject_interval: tuple[Share, Share]
    """Clopper-Pearson, two-sided, at `confidence`."""


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


class Arithmetic(Section):
    """In another arithmetic than fp32 an engine's certainties are others, so it has a threshold and golden scores of its own."""

    threshold: Threshold
    golden_scores: tuple[tuple[float, ...], ...]
    """Of the golden images, in their order."""


class Manifest(Section):
    format: Literal[1, 2] = FORMAT
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
    precisions: dict[Literal["bf16", "int8", "tensorrt-int8"], Arithmetic] = Field(default_factory=dict)
    """What the engine computes in beside fp32; what is not here is held to fp32's threshold and golden scores."""
    recommended: Precision = "fp32"
    """The fastest, where it was built, of those whose verdicts are fp32's: what `inference.precision: auto` takes."""
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
        for name, arithmetic in self.precisions.items():
            if [len(scores) for scores in arithmetic.golden_scores] != [len(self.classes)] * len(self.golden):
                raise ValueError(
                    f"precisions: {name} needs {len(self.classes)} golden_scores for each of {len(self.golden)} golden images"
                )
        if self.recommended not in ("fp32", *self.precisions):
            raise ValueError(f"recommended: {self.recommended} is not among precisions")
        return self

    def recommended_on(self, backend: str) -> Precision:
        """What `inference.precision: auto` takes there if it can; a plan in INT8 was asked for by name."""
        if backend == "tensorrt":
            plans = {file.precision for file in self.files if file.backend == backend}
            return "int8" if "int8" in plans else "fp32"
        return self.recommended if backend == "openvino" else "fp32"

    def threshold_at(self, precision: ArithmeticName) -> Threshold:
        own = self.precisions.get(precision) if precision != "fp32" else None
        return own.threshold if own else self.threshold

    def golden_scores_at(self, precision: ArithmeticName) -> tuple[tuple[float, ...], ...]:
        own = self.precisions.get(precision) if precision != "fp32" else None
        return own.golden_scores if own else tuple(golden.scores for golden in self.golden)
