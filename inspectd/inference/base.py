"""The backend contract: a loaded model that turns one preprocessed image into one kernel value per class.

A backend is one module here, named as in `InferenceConfig.backend`, with `load(bundle, config) -> Backend`. The module
is imported when its backend is wanted. Whatever its runtime raises may pass through; the engine wraps it.
"""

from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspectd.section import ConfigPath, Section


class InferenceConfig(Section):
    """What runs the engine's network."""

    backend: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = "auto"
    """auto: tensorrt where the bundle has a plan that the GPU here takes, else openvino, else onnxruntime; with device
    cuda never the CPU."""
    threads: int = Field(default=0, ge=0, le=64)
    """CPU threads of one inference; 0: all cores. onnxruntime takes at most one per core."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Arithmetic. auto: what the engine's maker measured as fastest without other verdicts, where this machine can do it,
    else fp32; of TensorRT plans the one in INT8, else that in FP16. bf16: OpenVINO on a processor that has it; int8: a bundle
    with quantised files; a plan for fp32 and bf16 computes in FP16."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What onnxruntime runs on. cuda: an NVIDIA GPU, with the package onnxruntime-gpu in place of onnxruntime."""
    cache: ConfigPath | None = None
    """Folder where openvino keeps what it compiled for this machine, so that the next start is faster. Leave out to compile
    at each. Not used with `signed_by`: what is kept was signed by nobody."""
    signed_by: ConfigPath | None = None
    """Public key (Ed25519, PEM). With it only an engine runs that the key's holder has signed."""

    @model_validator(mode="after")
    def _device_fits_backend(self) -> Self:
        if self.device == "cuda" and self.backend == "openvino":
            raise ValueError(
                "device 'cuda' needs backend 'onnxruntime', 'tensorrt' or 'auto': openvino runs on the CPU"
            )
        return self


class TensorType(NamedTuple):
    dtype: str
    """NumPy's name."""
    shape: tuple[int, ...]
    """A free batch dimension counts as 1, any other free one as -1."""


class Backend(Protocol):
    inputs: list[TensorType]
    outputs: list[TensorType]

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1, C, H, W) uint8 -> (1, K) float32 scores, which stay as they are at the next call. Used from one
        thread at a time. `batch` has the one input's dtype and shape and is contiguous."""

    def warm(self, batch: NDArray[np.uint8]) -> None:
        """Keep the hardware at work with an inference for nobody. May return before it is done; `infer` comes first."""
