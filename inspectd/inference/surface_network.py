"""What runs the network of a guard's surface.

Always in fp32, also where the engine's own network has another precision: then the scores are those that chose the limits.
"""

import importlib.util
import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspectd.guard.surface import Run

_PROBE = np.zeros((1, 1, 64, 72), np.uint8)


def compiled(network: bytes, threads: int = 0) -> Run:
    """`network`: ONNX. OpenVINO runs it if it is installed, else ONNX Runtime. `threads`: 0 means all cores.

    Raises ValueError if it is not such a network, and what the runtime raises.
    """
    run = _openvino(network, threads) if importlib.util.find_spec("openvino") else _onnxruntime(network, threads)
    shape = run(_PROBE).shape
    if shape != (1, 1, 8, 9):
        raise ValueError(f"the network gives {shape} for an image of 64x72 px; (1, 1, 8, 9) is expected")
    return run


def _openvino(network: bytes, threads: int) -> Run:
    from inspectd.inference.openvino import core

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    model = core().read_model(network, b"")
    any_size = core().compile_model(model, "CPU", settings).create_infer_request()
    one_size: dict[tuple[int, ...], Any] = {}
    one_at_a_time = threading.Lock()

    def run(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        with one_at_a_time:
            if not one_size and image.shape != _PROBE.shape:  # a camera's images have one size, and that is faster
                model.reshape(image.shape)
                one_size[image.shape] = core().compile_model(model, "CPU", settings).create_infer_request()
            request = one_size.get(image.shape, any_size)
            request.infer([image])
            logits: NDArray[np.float32] = request.get_output_tensor().data.copy()
        return logits

    return run


def _onnxruntime(network: bytes, threads: int) -> Run:
    import onnxruntime

    from inspectd.inference.onnxruntime import session_options

    options = session_options(min(threads, len(os.sched_getaffinity(0))))  # more threads than cores wait for each other
    session: Any = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, {name: image})[0]
        return logits

    return run
