"""A loaded engine. It has given the recorded scores for all golden images, and its speed has been measured."""

import importlib
import time
from dataclasses import dataclass

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from inspectd.camera.image_files import decode_photo
from inspectd.decision import Policy
from inspectd.errors import ConfigError, EngineError, EngineLost, InferenceError
from inspectd.guard.placement import Matrix
from inspectd.inference.base import Backend, InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle
from inspectd.inference.bundled_guard import BundledGuard
from inspectd.inference.image_quality import NOT_MEASURED, Quality, quality_of
from inspectd.inference.manifest import ArithmeticName, GoldenImage, Precision
from inspectd.inference.preprocess import preprocess
from inspectd.part import Fault, Image, Pass, Uncertain

_WARM_UP_RUNS = 10
_MEASURED_RUNS = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Judged:
    """An inspected image, and how long each stage took."""

    verdict: Pass | Fault | Uncertain
    preprocess_us: int
    infer_us: int
    guard_us: int | None
    """None if the guard did not look: the engine has none, or the network does not let the label pass."""
    print_to_image: Matrix | None = None
    """Where the guard found the print: from px of the straightened print to px of the image. None if it did not look for one."""
    quality: Quality = NOT_MEASURED


class Engine:
    """One thread at a time. `service_ms`, `median_ms`: p99 and median time of preprocess + infer + guard, measured at load."""

    def __init__(
        self, bundle: Bundle, backend: Backend, backend_name: str, precision: ArithmeticName, threads: int
    ) -> None:
        """`threads`: of the guard's network; 0: all cores. Raises EngineError if inputs, outputs or scores of the model differ from the manifest."""
        self.manifest = bundle.manifest
        self.hash = bundle.hash
        self.backend_name = backend_name
        self.precision = precision
        self.policy = Policy(
            self.manifest.classes, self.manifest.pass_class, self.manifest.threshold_at(precision).value
        )
        self._backend = backend
        self._guard = None if self.manifest.guard is None else BundledGuard(bundle, self.manifest.guard, threads)
        spec = self.manifest.input
        self._input = TensorType("uint8", (1, spec.channels, spec.height, spec.width))
        self._check_signature(bundle)
        recorded = self.manifest.golden_scores_at(precision)
        images = [self._check_golden(bundle, *pair) for pair in zip(self.manifest.golden, recorded, strict=True)]
        self._check_guard(bundle, images)
        self._warm_batch = self.preprocess(images[0])
        took_ms = self._measure(images)
        self.service_ms = float(np.percentile(took_ms, 99))
        self.median_ms = float(np.median(took_ms))

    def judge(self, image: Image) -> Judged:
        """(h, w) or (h, w, 3) BGR uint8 -> the verdict. The guard looks at labels that the network lets pass.

        Raises InferenceError.
        """
        t_begin_ns = time.monotonic_ns()
        batch = self.preprocess(image)
        height, width = image.shape[:2]
        misfit = self.misfit((width, height))
        if misfit is not None:
            raise InferenceError(misfit)
        t_preprocessed_ns = time.monotonic_ns()
        verdict = self.policy.judge(self.infer(batch).tolist())
        t_inferred_ns = time.monotonic_ns()
        guard_us = print_to_image = None
        if self._guard is not None and isinstance(verdict, Pass):
            anomaly, print_to_image = self._guard.judge(image)
            guard_us = (time.monotonic_ns() - t_inferred_ns) // 1000
            if anomaly is not None:
                verdict = Uncertain(verdict.scores, anomaly)
        return Judged(
            verdict,
            (t_preprocessed_ns - t_begin_ns) // 1000,
            (t_inferred_ns - t_preprocessed_ns) // 1000,
            guard_us,
            print_to_image,
            quality_of(batch),
        )

    @property
    def print_size(self) -> tuple[int, int] | None:
        """Width and height of the straightened print in px; None if there is no guard that looks at a print."""
        return None if self._guard is None else self._guard.print_size

    def misfit(self, size: tuple[int, int] | None) -> str | None:
        """Why images of this width and height in px can't be judged; None if they can, or if the size is not known."""
        return None if size is None or self._guard is None else self._guard.misfit(size)

    def preprocess(self, image: Image) -> NDArray[np.uint8]:
        """(h, w) or (h, w, 3) BGR uint8 -> (1, C, H, W) uint8. Raises InferenceError."""
        try:
            return preprocess(image, self.manifest.input)
        except (ValueError, cv2.error) as error:
            raise InferenceError(f"the image can't be preprocessed: {error}") from error

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1, C, H, W) uint8 -> (K,) float32, one score per class. Raises InferenceError, or EngineLost if no other will succeed."""
        given = TensorType(batch.dtype.name, batch.shape)
        if given != self._input:
            raise InferenceError(f"expected a batch of {_types([self._input])}, got {_types([given])}")
        try:
            scores: NDArray[np.float32] = self._backend.infer(np.ascontiguousarray(batch))[0]
        except (InferenceError, EngineLost):
            raise
        except Exception as error:  # each runtime has its own kinds of exceptions; none may stop the line
            raise InferenceError(f"{self.backend_name}: {error}") from error
        return scores

    def warm(self) -> None:
        """Run an inference whose result nobody uses, so that the next one is as fast as on a busy line. Raises as `infer`."""
        try:
            self._backend.warm(self._warm_batch)
        except EngineLost:
            raise
        except Exception as error:
            raise InferenceError(f"{self.backend_name}: {error}") from error

    def _check_signature(self, bundle: Bundle) -> None:
        inputs, outputs = [self._input], [TensorType("float32", (1, len(self.manifest.classes)))]
        if self._backend.inputs != inputs or self._backend.outputs != outputs:
            raise EngineError(
                f"{bundle.folder}: engine.yaml describes a model with {_types(inputs)} -> {_types(outputs)}, "
                f"but the {self.backend_name} file has {_types(self._backend.inputs)} -> {_types(self._backend.outputs)}"
            )

    def _check_golden(self, bundle: Bundle, golden: GoldenImage, recorded: tuple[float, ...]) -> Image:
        path = bundle.folder / golden.path
        try:
            image = decode_photo(bundle.read(golden), path)
            scores = self.infer(self.preprocess(image))
        except ConfigError as error:
            raise EngineError(str(error)) from error
        except InferenceError as error:
            raise EngineError(f"{path}: {error}") from error
        tolerance = self.manifest.golden_tolerance_at(self.precision)
        for name, expected, got in zip(self.manifest.classes, recorded, scores.tolist(), strict=True):
            if not abs(got - expected) <= tolerance:  # written in this way, NaN is an error
                raise EngineError(
                    f"{path}: {self.backend_name} gives {name} the score {got:.4f}, but training recorded {expected:.4f}; "
                    f"a difference of up to {tolerance:g} is allowed"
                )
        return image

    def _check_guard(self, bundle: Bundle, images: list[Image]) -> None:
        if self._guard is None or self.manifest.guard is None:
            return
        for golden, image, recorded in zip(
            self.manifest.golden, images, self.manifest.guard.golden_scores, strict=True
        ):
            try:
                self._guard.check_golden(image, recorded)
            except InferenceError as error:
                raise EngineError(f"{bundle.folder / golden.path}: {error}") from error

    def _measure(self, images: list[Image]) -> list[float]:
        took_ms = []
        try:
            for run in range(_WARM_UP_RUNS + _MEASURED_RUNS):
                begin_ns = time.monotonic_ns()
                image = images[run % len(images)]
                self.infer(self.preprocess(image))
                if self._guard is not None:  # as for a good label, which the line must judge in time
                    self._guard.judge(image)
                took_ms.append((time.monotonic_ns() - begin_ns) / 1e6)
        except InferenceError as error:
            raise EngineError(f"{self.manifest.name}: an inference failed while warming up: {error}") from error
        return took_ms[_WARM_UP_RUNS:]


def load_engine(bundle: Bundle, config: InferenceConfig) -> Engine:
    """Load the model of the bundle, compare the scores of all golden images with those of training, and warm up.

    Raises EngineError: the signature that `config.signed_by` demands is missing or wrong, the backend is not available, a
    file can't be loaded, or inputs, outputs or scores differ. Raises ConfigError if `config.signed_by` can't be used, EngineLost
    if no engine can be loaded there until the process is started again.
    """
    if config.signed_by is not None:
        from inspectd.inference.signature import check_signature

        check_signature(bundle, config.signed_by)
    if config.backend != "auto":
        return _load(bundle, config, config.backend)
    has = {file.backend for file in bundle.manifest.files}
    if "tensorrt" in has:
        try:
            return _load(bundle, config, "tensorrt")
        except EngineError as error:
            if has == {"tensorrt"}:
                raise type(error)(
                    f"{bundle.folder}: contains only TensorRT plans, which can't be used on this machine: {error}"
                ) from error
            log.warning("tensorrt can't be used; another backend is used", reason=str(error))
    return _load(bundle, config, "openvino" if "openvino" in has and config.device == "cpu" else "onnxruntime")


def _load(bundle: Bundle, config: InferenceConfig, name: str) -> Engine:
    """With `auto` precision: as the bundle recommends, or fp32 if that can't be used."""
    if config.precision != "auto":
        return _load_at(config.precision, bundle, config, name)
    recommended = bundle.manifest.recommended_on(name)
    if recommended != "fp32":
        try:
            return _load_at(recommended, bundle, config, name)
        except EngineError as error:
            log.warning(f"{recommended} is recommended but can't be used; fp32 is used", reason=str(error))
    return _load_at("fp32", bundle, config, name)


def _load_at(precision: Precision, bundle: Bundle, config: InferenceConfig, name: str) -> Engine:
    config = config.model_copy(update={"precision": precision})
    try:
        backend: Backend = importlib.import_module(f"inspectd.inference.{name}").load(bundle, config)
    except (EngineError, EngineLost):
        raise
    except Exception as error:  # each runtime has its own kinds of exceptions
        raise EngineError(f"{bundle.folder}: {name} can't load it: {error}") from error
    return Engine(bundle, backend, name, _arithmetic(name, precision), config.threads)


def _arithmetic(backend: str, precision: Precision) -> ArithmeticName:
    if backend == "tensorrt":  # FP16 in place of fp32 and bf16; INT8 has other ranges than on the CPU
        return "tensorrt-int8" if precision == "int8" else "tensorrt-fp16"
    return "onnxruntime" if backend == "onnxruntime" and precision == "fp32" else precision


def _types(tensors: list[TensorType]) -> str:
    return ", ".join(f"{tensor.dtype} {tensor.shape}" for tensor in tensors)
