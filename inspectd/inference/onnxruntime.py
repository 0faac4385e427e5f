"""ONNX Runtime, on the CPU or with CUDA.

CUDA is not tested so far: at each load, the golden images check its results.
"""

import os

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspectd.errors import EngineError, NoGpuError
from inspectd.inference.base import InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle

_PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    # TF32 would round to ten bits, and the scores would differ from those of training
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}


def load(bundle: Bundle, config: InferenceConfig) -> "OnnxRuntime":
    if config.precision == "bf16":
        raise EngineError(
            "inference.precision: 'bf16' is not available with onnxruntime; use 'fp32', or backend 'openvino' on the CPU"
        )
    provider = _PROVIDERS[config.device]
    if provider[0] not in onnxruntime.get_available_providers():
        raise EngineError(
            f"inference.device: 'cuda' is not available: this onnxruntime {onnxruntime.__version__} has only "
            f"{', '.join(onnxruntime.get_available_providers())}; pip uninstall onnxruntime, pip install onnxruntime-gpu"
        )
    cores = len(os.sched_getaffinity(0))
    if config.threads > cores:  # threads wait for each other: 8 on 2 cores take 20 times as long, 64 never finish
        raise EngineError(
            f"inference.threads: {config.threads} is not allowed: this machine has {cores} cores; with onnxruntime, 0 (all) to {cores} are allowed"
        )
    model = bundle.read(bundle.model_file("onnxruntime", ".onnx", config.precision))
    session = onnxruntime.InferenceSession(model, session_options(config.threads), providers=[provider])
    if session.get_providers()[0] != provider[0]:  # it would go on with the CPU and only log it
        raise NoGpuError(
            "inference.device: 'cuda' is not available: no usable NVIDIA GPU, or wrong versions of CUDA and cuDNN; see the lines above"
        )
    return OnnxRuntime(session)


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """`threads`: 0 means all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # workers spin during an inference, which makes it fast, but not between two: camera and gate need the cores
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # weights in a separate file would be loaded without a check, from the current folder
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")
    return options


class OnnxRuntime:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.inputs = [_tensor_type(node) for node in session.get_inputs()]
        self.outputs = [_tensor_type(node) for node in session.get_outputs()]
        self._session = session
        self._input_names = [node.name for node in session.get_inputs()]

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self._session.run(None, {self._input_names[0]: batch})[0]
        return scores

    def warm(self, batch: NDArray[np.uint8]) -> None:
        self.infer(batch)


def _tensor_type(node: onnxruntime.NodeArg) -> TensorType:
    """ONNX Runtime writes 'tensor(float)' for float32, and a name or None for a free dimension."""
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    free = [1] + [-1] * len(node.shape)
    shape = tuple(length if isinstance(length, int) else free[axis] for axis, length in enumerate(node.shape))
    return TensorType({"float": "float32", "double": "float64"}.get(kind, kind), shape)
