"""ONNX Runtime, on the CPU or with CUDA. The latter has not run so far: at each load the golden images decide."""

import os

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.inference.base import InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle

_PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    # TF32 would round what training recorded to ten bits
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
}


def load(bundle: Bundle, config: InferenceConfig) -> "OnnxRuntime":
    if config.precision == "bf16":
        raise EngineError(
            "inference.precision 'bf16': onnxruntime has none; use 'fp32', or backend 'openvino' on the CPU"
        )
    provider = _PROVIDERS[config.device]
    if provider[0] not in onnxruntime.get_available_providers():
        raise EngineError(
            f"inference.device 'cuda': this onnxruntime {onnxruntime.__version__} has no CUDA, only "
            f"{', '.join(onnxruntime.get_available_providers())}; pip uninstall onnxruntime, pip install onnxruntime-gpu"
        )
    cores = len(os.sched_getaffinity(0))
    if config.threads > cores:  # they spin and wait for each other: 8 on 2 cores take 20 times as long, 64 never end
        raise EngineError(
            f"inference.threads: {config.threads} is more than the {cores} cores here; onnxruntime is allowed 0 (all) to {cores}"
        )
    model = bundle.read(bundle.model_file("onnxruntime", ".onnx", config.precision))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.log_severity_level = 3
    # workers spin inside an inference, which keeps it fast, but not between two: the camera and the gate need the cores
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # weights kept beside the file would load unchecked, from wherever the process was started
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null")
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    if session.get_providers()[0] != provider[0]:  # it goes on with the CPU and a line in its log
        raise EngineError(
            "inference.device 'cuda': no usable NVIDIA GPU, or not the CUDA and cuDNN it wants; see above"
        )
    return OnnxRuntime(session)


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
