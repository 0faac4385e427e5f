"""The backend contract: a loaded model that computes one score per class from one preprocessed image.

A backend is one module here, named as in `InferenceConfig.backend`, with `load(bundle, config) -> Backend`. The module is
imported only when its backend is used. It may let the exceptions of its runtime through; the engine handles them. `EngineLost` ends the line.

The engine that a reload replaces is let go of in another thread than the one that loaded it. A backend must free what it holds in
whichever thread that is.
"""

from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspectd.section import ConfigPath, Section


class InferenceConfig(Section):
    """How the network of the engine runs."""

    backend: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = "auto"
    """The runtime. auto: tensorrt if the bundle has a plan for this GPU, else openvino, else onnxruntime. With device cuda,
    auto never uses the CPU."""
    threads: int = Field(default=0, ge=0, le=64)
    """CPU threads of one inference. 0: all cores. onnxruntime allows at most one per core. Fewer threads leave CPU time
    to other programs."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Arithmetic. auto: the precision that the bundle recommends, or fp32 if this machine can't use it; with TensorRT the
    INT8 plan if there is one, else the FP16 plan. fp32: full precision. bf16: needs OpenVINO and a processor with bf16.
    int8: needs a bundle with quantised files. With TensorRT, fp32 and bf16 compute in FP16."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where onnxruntime computes. cuda: an NVIDIA GPU; install the package onnxruntime-gpu in place of onnxruntime."""
    cache: ConfigPath | None = None
    """Folder where openvino and TensorRT for RTX keep the network as compiled for this machine, so that the next start is
    faster. Without it, each start compiles the network. It is not used with signed_by, because the compiled network has no
    signature."""
    cuda_graph: bool = False
    """true: TensorRT starts an inference as one recorded CUDA graph instead of kernel by kernel, which takes less CPU time. If it
    can't be recorded, the line goes on without it. Not tested on a GPU so far."""
    signed_by: ConfigPath | None = None
    """Public key file (Ed25519, PEM). With it, the line runs only engines that the holder of the key has signed. Without it,
    the line runs any engine whose hashes are right."""

    @model_validator(mode="after")
    def _device_fits_backend(self) -> Self:
        if self.device == "cuda" and self.backend == "openvino":
            raise ValueError(
                "device 'cuda' needs backend 'onnxruntime', 'tensorrt' or 'auto': openvino runs on the CPU"
            )
        if self.cuda_graph and self.backend not in ("auto", "tensorrt"):
            raise ValueError("cuda_graph needs backend 'tensorrt' or 'auto'")
        return self


class TensorType(NamedTuple):
    dtype: str
    """Name of the type in NumPy."""
    shape: tuple[int, ...]
    """A free batch dimension is 1, any other free dimension is -1."""


class Backend(Protocol):
    inputs: list[TensorType]
    outputs: list[TensorType]

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1, C, H, W) uint8 -> (1, K) float32 scores, which the next call does not change. One thread at a time.
        `batch` is contiguous and has the dtype and shape of the input."""

    def warm(self, batch: NDArray[np.uint8]) -> None:
        """Run an inference whose result nobody uses, to keep the hardware fast. May return before its end; `infer` has priority."""
