"""`engine.yaml`, the description of an engine bundle. The tools write it and the daemon checks it."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from inspectd.class_name import ClassName
from inspectd.files.text_file import shown
from inspectd.inference.preprocess import InputSpec, Share
from inspectd.inference.sealed import BundlePath, ListedFile, Sha256
from inspectd.part import AnomalyKind
from inspectd.section import Section

FORMAT: Final = 5
"""Version of the layout of this file. Bundles with a newer version are rejected. 2 added optional keys; 3 added the class names to
the golden scores; 4 added the guard, and thresholds and tolerances for more arithmetics; 5 added `learning`."""

Precision = Literal["fp32", "bf16", "int8"]
"""Values of `inference.precision`. A TensorRT plan uses FP16 for fp32 and for bf16."""

OtherArithmetic = Literal["onnxruntime", "bf16", "int8", "tensorrt-fp16", "tensorrt-int8"]
"""Arithmetics that may have their own threshold. `onnxruntime` is fp32 on ONNX Runtime; `bf16` and `int8` are those of OpenVINO.
INT8 in a TensorRT plan has other ranges than INT8 on the CPU."""

ArithmeticName = Literal["fp32"] | OtherArithmetic
"""`fp32` is that of OpenVINO, with which training recorded the golden scores."""

ARITHMETICS: Final[tuple[ArithmeticName, ...]] = ("fp32", *get_args(OtherArithmetic))

Tolerance = Annotated[float, Field(gt=0, le=0.1)]

WITHOUT_GUARD: Final = "this engine has no guard: it sees gross faults only; a lost character, a spatter, a thin scratch or a slightly turned print can pass"

Count = Annotated[int, Field(ge=0, le=1_000_000_000)]

Score = Annotated[float, Field(allow_inf_nan=True)]

GoldenScores = dict[ClassName, Score] | tuple[Score, ...]
"""Scores of a golden image that training recorded: class -> score. Up to format 2: scores in the order of `classes`."""


class DuqHead(Section):
    kind: Literal["duq"]
    length_scale: float = Field(gt=0, le=1e6)
    """The distance from a centroid at which a score has fallen clearly."""
    centroid_size: int = Field(ge=1, le=65_536)
    """Dimensions of a centroid."""


class SoftmaxHead(Section):
    kind: Literal["softmax"]


class Passed(Section):
    """How many calibration parts of one fault class, or of one kind of unknown, pass. A part counts once, with its worst photo."""

    passed: Count
    """Number of parts that pass at the threshold."""
    n: Count
    """Number of parts."""
    bound: Share
    """Upper bound of the share that passes, at the confidence of the threshold, for this kind alone."""


class Threshold(Section):
    """The certainty below which a part is rejected as unknown, and how this value was chosen."""

    value: float = Field(gt=0, le=1)
    """The threshold itself."""
    method: str
    """One sentence, such as 'lowest threshold with no false accept on the calibration set'."""
    calibration_fingerprint: Sha256
    """SHA-256 over the hashes of the calibration files, in their order."""
    n_good: Count
    """Number of good calibration parts. Photos of one part count once, with the worst of them."""
    n_bad: Count
    """Number of faulty and unknown calibration parts."""
    false_accept_bound: Share
    """Upper bound of the share of faulty or unknown labels that pass, at `confidence` (Clopper-Pearson). It is valid if the
    line's labels are like the calibration parts."""
    confidence: Share
    """Confidence of all bounds here: 0.95, or less if other values of alpha were tried on the same calibration parts before."""
    false_reject_rate: Share
    """Share of good calibration parts that are below the threshold or classified as faulty."""
    alpha: Share
    """The guaranteed bound: at most this share of the faulty labels passes, and at most this share of the unknown ones if the
    calibration set has some. It was fixed before the threshold was chosen; the other bounds were measured afterwards."""
    false_accepts: dict[ClassName, Passed]
    """For each fault class and each kind of unknown."""
    false_reject_interval: tuple[Share, Share]
    """Clopper-Pearson, two-sided, at 95 %."""


class ModelFile(ListedFile):
    """One file of a model. If a backend needs several files (OpenVINO: .xml and .bin), each is listed."""

    backend: Literal["onnxruntime", "openvino", "tensorrt"]
    """The backend that runs the file."""
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    """Precision of the stored weights."""


class GoldenImage(ListedFile):
    """A camera image with the scores that training recorded. At each load, the scores are computed again and compared."""

    path: BundlePath
    """golden/<class or kind of unknown>.png, by what the image shows."""
    scores: GoldenScores
    """Scores that training recorded for this image: class -> score. Up to format 2 a list in the order of `classes`."""

    @property
    def shows(self) -> str:
        return PurePosixPath(self.path).stem


class Arithmetic(Section):
    """Threshold and golden scores for another arithmetic than fp32, which gives other certainties."""

    threshold: Threshold
    """As for fp32."""
    golden_scores: tuple[GoldenScores, ...]
    """Scores of the golden images, in their order."""
    golden_tolerance: Tolerance | None = None
    """Largest difference allowed for a score of a golden image. If it is not given, that of fp32."""


GuardScore = Annotated[float, Field(ge=0, le=1e9)]
GuardScores = tuple[GuardScore, ...]
"""In the order of the guard's kinds, as `inspectd.guard` gives them: about 1 on a usual good label."""

GuardLimit = Annotated[float, Field(gt=0, le=1e9)]


class GuardModel(ListedFile):
    """The guard. It looks at every place of a label that the network would let pass."""

    width: int | None = Field(default=None, ge=64, le=16_384)
    """Width in px of the images that it was fitted to; the camera must give images of this size. Without it: any size."""
    height: int | None = Field(default=None, ge=64, le=16_384)
    """Height in px of these images."""
    kinds: Annotated[tuple[AnomalyKind, ...], Field(min_length=1)] = ("print", "part", "turned", "shifted")
    """What it looks at: places of the print and of the part, and how the print lies. Without print: the part alone."""
    limits: tuple[GuardLimit, ...]
    """In the order of `kinds`: a label with a higher score is uncertain, with the reason `anomaly`."""
    golden_scores: tuple[GuardScores, ...]
    """Scores of the golden images, in their order. At each load they are computed again and compared."""
    fitted_to: int = Field(ge=1, le=1_000_000)
    """How many good images it was fitted to."""
    n_good: int = Field(ge=1, le=1_000_000)
    """How many other good images chose the limits."""
    rejected_good: int = Field(ge=0, le=1_000_000)
    """How many of those have a score above its limit."""
    joint: bool = False
    """true: the thresholds were chosen for network and guard together, so they hold only with this guard. false: they were
    chosen for the network alone."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.rejected_good > self.n_good:
            raise ValueError(f"rejected_good: {self.rejected_good} is more than n_good, {self.n_good}")
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height: give both, or neither for images of any size")
        for scores, what in ((self.limits, "limits"), *((scores, "golden_scores") for scores in self.golden_scores)):
            if len(scores) != len(self.kinds):
                raise ValueError(
                    f"{what}: has {len(scores)} values for {len(self.kinds)} kinds: {', '.join(self.kinds)}"
                )
        return self


class Manifest(Section):
    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Version of the file's layout."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")
    """Name of the engine."""
    version: str = Field(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")
    """Version of the engine."""
    created: datetime
    """When it was built."""
    git_commit: str
    """Commit of this project that built it."""
    architecture: str
    """Backbone and head."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=1000)]
    """In the order of the scores. This is the only source of class indices."""
    pass_class: str
    """The only class that may pass."""
    input: InputSpec
    head: Annotated[DuqHead | SoftmaxHead, Field(discriminator="kind")]
    """What makes scores of the features."""
    threshold: Threshold
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]
    """The model's files, for all backends."""
    golden: Annotated[tuple[GoldenImage, ...], Field(min_length=1)]
    """Images that are run at each load."""
    golden_tolerance: Tolerance
    """Largest difference allowed for a score of a golden image."""
    precisions: dict[OtherArithmetic, Arithmetic] = Field(default_factory=dict)
    """The other arithmetics of this engine. One that is not listed uses the threshold and golden scores of fp32."""
    recommended: Precision = "fp32"
    """The precision for `inference.precision: auto`: the fastest one, on the machine that built the bundle, that gives the same
    verdicts as fp32."""
    guard: GuardModel | None = None
    """What sees small faults. An engine without it sees gross faults only."""
    learning: ListedFile | None = None
    """Features of the photos that it learned from and was calibrated with, for `inspectd learn`. Without it the engine can't learn
    on the line."""
    training: dict[str, Any]
    """Provenance: training settings, fingerprint of the data, metrics."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name occurs twice")
        if self.pass_class not in self.classes:
            raise ValueError(
                f"pass_class: {shown(self.pass_class)} is not one of the classes {', '.join(self.classes)}"
            )
        for golden in self.golden:
            self._check_scores(golden.scores, f"golden: {golden.path} has")
        for name, arithmetic in self.precisions.items():
            if len(arithmetic.golden_scores) != len(self.golden):
                raise ValueError(
                    f"precisions: {name} needs {len(self.classes)} golden_scores for each of {len(self.golden)} golden images"
                )
            for scores in arithmetic.golden_scores:
                self._check_scores(
                    scores,
                    f"precisions: {name} needs {len(self.classes)} golden_scores for each of {len(self.golden)} golden "
                    "images, one has",
                )
        if self.guard is not None and len(self.guard.golden_scores) != len(self.golden):
            raise ValueError(
                f"guard: has golden_scores of {len(self.guard.golden_scores)} images, but there are {len(self.golden)} golden images"
            )
        for precision in ARITHMETICS:
            self._check_that_no_fault_passes(precision)
        if self.recommended not in ("fp32", *self.precisions):
            raise ValueError(f"recommended: {self.recommended} is not among precisions")
        return self

    def _check_scores(self, scores: GoldenScores, what: str) -> None:
        if len(scores) != len(self.classes):
            raise ValueError(f"{what} {len(scores)} scores for {len(self.classes)} classes")
        if isinstance(scores, dict) and set(scores) != set(self.classes):
            raise ValueError(f"{what} scores for {', '.join(scores)}, the classes are {', '.join(self.classes)}")
        values = scores.values() if isinstance(scores, dict) else scores
        if not all(abs(value) < 1e6 for value in values):  # written in this way, NaN is an error too
            raise ValueError(f"{what} scores that are not finite numbers: {shown(list(values))}")
        if self.format >= 3 and not isinstance(scores, dict):
            raise ValueError(f"{what} scores without class names; format 3 must have them")

    def _check_that_no_fault_passes(self, precision: ArithmeticName) -> None:
        """Raises ValueError if the golden image of a fault would pass: then the order of the classes is wrong."""
        threshold = self.threshold_at(precision).value
        for golden, scores in zip(self.golden, self.golden_scores_at(precision), strict=True):
            highest = max(scores)
            taken_for = self.classes[scores.index(highest)]
            if golden.shows in self.classes and golden.shows != taken_for == self.pass_class and highest >= threshold:
                raise ValueError(
                    f"golden: {golden.path} would pass as {self.pass_class}: the order of the classes differs from that of the network"
                )

    @property
    def listed(self) -> tuple[ListedFile, ...]:
        """Every file of the bundle but `engine.yaml` and its signatures, each with its SHA-256."""
        others = (self.guard, self.learning)
        return (*self.files, *self.golden, *(file for file in others if file is not None))

    def recommended_on(self, backend: str) -> Precision:
        """The precision for `inference.precision: auto` with this backend. A bundle has an INT8 plan only on request."""
        if backend == "tensorrt":
            plans = {file.precision for file in self.files if file.backend == backend}
            return "int8" if "int8" in plans else "fp32"
        return self.recommended if backend == "openvino" else "fp32"

    def threshold_at(self, precision: ArithmeticName) -> Threshold:
        own = self._own(precision)
        return own.threshold if own else self.threshold

    def golden_tolerance_at(self, precision: ArithmeticName) -> float:
        own = self._own(precision)
        return own.golden_tolerance if own and own.golden_tolerance is not None else self.golden_tolerance

    def golden_scores_at(self, precision: ArithmeticName) -> tuple[tuple[float, ...], ...]:
        """Scores of each golden image, in the order of `classes`."""
        own = self._own(precision)
        recorded = own.golden_scores if own else tuple(golden.scores for golden in self.golden)
        return tuple(
            tuple(scores[name] for name in self.classes) if isinstance(scores, dict) else scores for scores in recorded
        )

    def _own(self, precision: ArithmeticName) -> Arithmetic | None:
        return None if precision == "fp32" else self.precisions.get(precision)
