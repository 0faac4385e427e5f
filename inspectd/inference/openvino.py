"""OpenVINO on the CPU."""

import contextlib
from functools import cache
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.inference import openvino_cache as compiled
from inspectd.inference.base import InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle


@cache
def core() -> openvino.Core:
    """One for the process, and for ever: a core that goes takes the stack for signal handlers with it that it has given
    the thread which first compiled with it. If another thread lets go of it, or cores go in another order than they came,
    the next signal ends the process with SIGSEGV (seen with 2026.4)."""
    return openvino.Core()


@cache
def has_bf16() -> bool:
    """Whether this processor computes in bf16; where it does not, bf16 is emulated and slower than fp32."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def load(bundle: Bundle, config: InferenceConfig) -> "OpenVino":
    if config.precision == "bf16" and not has_bf16():
        raise EngineError(
            f"inference.precision 'bf16': {core().get_property('CPU', 'FULL_DEVICE_NAME')} has no bf16 arithmetic; "
            "'fp32' is allowed, and 'int8' with a quantised bundle"
        )
    network = bundle.read(bundle.model_file("openvino", ".xml", config.precision))
    weights = bundle.read(bundle.model_file("openvino", ".bin", config.precision))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",  # which also pins the threads to cores
        "INFERENCE_NUM_THREADS": config.threads,
        # without the hint a processor with bf16 uses it, and scores differ from those training recorded
        "INFERENCE_PRECISION_HINT": "bf16" if config.precision == "bf16" else "f32",
    }
    # what is kept was signed by nobody
    if config.cache is None or config.signed_by is not None:
        return OpenVino(_compile(network, weights, settings))
    path = compiled.place(config.cache, core(), settings, network, weights)
    kept = compiled.find(core(), path, settings)
    if kept is not None:
        return OpenVino(kept)
    fresh = _compile(network, weights, settings)
    compiled.keep(fresh, path)
    return OpenVino(fresh)


def _compile(network: bytes, weights: bytes, settings: dict[str, Any]) -> openvino.CompiledModel:
    model = core().read_model(network, weights)
    for model_input in model.inputs:
        shape = model_input.get_partial_shape()
        if shape.rank.is_static and len(shape) > 0 and shape[0].is_dynamic:
            shape[0] = 1
            model.reshape({model_input: shape})
    return core().compile_model(model, "CPU", settings)


class OpenVino:
    """The batch is written straight into a request's input tensor, a third of the time of passing arrays."""

    def __init__(self, model: openvino.CompiledModel) -> None:
        self.inputs = [_tensor_type(port) for port in model.inputs]
        self.outputs = [_tensor_type(port) for port in model.outputs]
        self._request = model.create_infer_request()
        self._warming = model.create_infer_request()
        self._is_warming = False

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._is_warming:
            self._is_warming = False
            self._warming.cancel()  # takes effect between two layers
            with contextlib.suppress(RuntimeError):  # says that it was cancelled
                self._warming.wait()
        self._request.get_input_tensor().data[:] = batch
        self._request.infer()
        scores: NDArray[np.float32] = self._request.get_output_tensor().data.copy()
        return scores

    def warm(self, batch: NDArray[np.uint8]) -> None:
        if self._is_warming:
            self._warming.wait()
        self._warming.get_input_tensor().data[:] = batch
        self._warming.start_async()
        self._is_warming = True


def _tensor_type(port: openvino.ConstOutput) -> TensorType:
    shape = port.get_partial_shape()
    lengths = (
        tuple(-1 if length.is_dynamic else length.get_length() for length in shape) if shape.rank.is_static else ()
    )
    return TensorType(np.dtype(port.get_element_type().to_dtype()).name, lengths)
