"""What runs a reader's network: always in fp32, because other arithmetics move the likelihoods by more than their thresholds allow."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspectd.inference.base import InferenceConfig

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(1, 1, 32, w) uint8 crop -> (1, w / 4, symbols) logarithms of probabilities. One thread at a time."""


def compiled(network: bytes, config: InferenceConfig) -> Run:
    """`network`: ONNX. ONNX Runtime runs it if `config.backend` says so, else OpenVINO; one thread, as the network is small.

    Raises what the runtime raises.
    """
    return _onnxruntime(network) if config.backend == "onnxruntime" else _openvino(network)


def _openvino(network: bytes) -> Run:
    from inspectd.inference.openvino import core

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = core().compile_model(core().read_model(network, b""), "CPU", settings)
    request = model.create_infer_request()

    def run(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        request.infer([crop])
        log_probs: NDArray[np.float32] = request.get_output_tensor().data.copy()
        return log_probs

    return run


def _onnxruntime(network: bytes) -> Run:
    import onnxruntime

    from inspectd.inference.onnxruntime import session_options

    session: Any = onnxruntime.InferenceSession(network, session_options(1), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        log_probs: NDArray[np.float32] = session.run(None, {name: crop})[0]
        return log_probs

    return run
