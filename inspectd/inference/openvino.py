"""OpenVINO on the CPU."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.inference import kept
from inspectd.inference.base import InferenceConfig, TensorType
from inspectd.inference.bundle import Bundle


@cache
def core() -> openvino.Core:
    """The one core of the process, which is never released.

    A core gives the thread that first compiles with it a stack for signal handlers, and frees that stack at its end. If another
    thread releases the core, or several cores end in another order, the next signal ends the process with SIGSEGV (seen with
    2026.4).
    """
    return openvino.Core()


@cache
def has_bf16() -> bool:
    """Whether this processor has bf16 arithmetic. Otherwise bf16 is emulated and slower than fp32."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def load(bundle: Bundle, config: InferenceConfig) -> "OpenVino":
    if config.precision == "bf16" and not has_bf16():
        raise EngineError(
            f"inference.precision: 'bf16' is not available on {core().get_property('CPU', 'FULL_DEVICE_NAME')}; "
            "use 'fp32', or 'int8' with a quantised bundle"
        )
    network = bundle.read(bundle.model_file("openvino", ".xml", config.precision))
    weights = bundle.read(bundle.model_file("openvino", ".bin", config.precision))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",  # also pins the threads to cores
        "INFERENCE_NUM_THREADS": config.threads,
        # without it, a processor with bf16 uses bf16, and the scores differ from those of training
        "INFERENCE_PRECISION_HINT": "bf16" if config.precision == "bf16" else "f32",
    }
    # a compiled network has no signature
    if config.cache is None or config.signed_by is not None:
        return OpenVino(_compile(network, weights, settings))
    machine = (openvino.__version__, core().get_property("CPU", "FULL_DEVICE_NAME"), sorted(settings.items()))
    path = kept.place(config.cache, "openvino", repr(machine).encode(), network, weights)
    compiled = _kept(path, settings)
    if compiled is None:
        compiled = _compile(network, weights, settings)
        kept.keep(path, compiled.export_model().getvalue())
    return OpenVino(compiled)


def _kept(path: Path, settings: dict[str, Any]) -> openvino.CompiledModel | None:
    """OpenVINO's own cache does not notice damaged files."""
    data = kept.find(path)
    if data is None:
        return None
    try:
        return core().import_model(data, "CPU", settings)
    except Exception as error:  # OpenVINO raises its own kinds of exceptions
        kept.refuse(path, str(error))
        return None


def _compile(network: bytes, weights: bytes, settings: dict[str, Any]) -> openvino.CompiledModel:
    model = core().read_model(network, weights)
    for model_input in model.inputs:
        shape = model_input.get_partial_shape()
        if shape.rank.is_static and len(shape) > 0 and shape[0].is_dynamic:
            shape[0] = 1
            model.reshape({model_input: shape})
    return core().compile_model(model, "CPU", settings)


class OpenVino:
    """Writes the batch into the input tensor of a request, which takes a third of the time of passing an array."""

    def __init__(self, model: openvino.CompiledModel) -> None:
        self.inputs = [_tensor_type(port) for port in model.inputs]
        self.outputs = [_tensor_type(port) for port in model.outputs]
        self._request = model.create_infer_request()
        self._warming = model.create_infer_request()
        self._is_warming = False

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._is_warming:
            self._is_warming = False
            self._warming.cancel()  # it stops between two layers
            with contextlib.suppress(RuntimeError):  # the error says that it was cancelled
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
